import { isUtf8 } from 'node:buffer'
import type { Json } from '../../core/json.ts'
import { MAX_RESPONSE_BYTES, parsed } from '../wire/data.ts'
import { failure } from '../wire/errors.ts'

interface Answer {
  readonly Body?: unknown
  readonly ContentType?: string | undefined
}

/** An object's content: `body` (data where its type says JSON, else text), or `body_base64` where it is not text. */
export async function bodyOf(answer: Answer): Promise<{ readonly [key: string]: Json }> {
  const bytes = await read(answer.Body)
  if (!isUtf8(bytes)) return { body_base64: bytes.toString('base64') }
  const text = bytes.toString('utf8')
  const json = /^application\/([\w.-]+\+)?json\b/i.test(answer.ContentType ?? '') ? parsed(text) : undefined
  return { body: json === undefined ? text : json }
}

async function read(body: unknown): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    size += chunk.length
    // Leaving the loop closes the stream, so a huge object is not read to its end.
    if (size > MAX_RESPONSE_BYTES)
      throw failure('response_too_large', `the object is larger than ${MAX_RESPONSE_BYTES} bytes`)
    chunks.push(Buffer.from(chunk))
  }
  return Buffer.concat(chunks)
}
