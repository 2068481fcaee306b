/** What is answered, before it is anybody's response object. */
export interface Answered {
  readonly status: number
  readonly headers: { readonly [name: string]: string }
  readonly body: string | null
}

/** As Fetch, and so Hono, has it. */
export const response = ({ status, headers, body }: Answered): Response => new Response(body, { status, headers })
