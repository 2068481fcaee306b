/** What is answered, before it is anybody's response object. */
export interface Answered {
  readonly status: number
  readonly headers: { readonly [name: string]: string }
  readonly body: string | null
  /** In place of a body: what comes as it comes. It is read to its end, or cancelled. */
  readonly stream?: ReadableStream<Uint8Array>
}

/** As Fetch, and so Hono, has it. */
export const response = ({ status, headers, body, stream }: Answered): Response =>
  new Response(stream ?? body, { status, headers })
