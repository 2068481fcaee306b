import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import { Problem } from '../core/errors.ts'
import { type Json, nestsDeeper } from '../core/json.ts'
import { jsonFault } from './json-fault.ts'
import { largeNumber } from './large-number.ts'
import { header } from './request.ts'
import type { Ctx } from './route.ts'

/** Nesting of objects and arrays in a body. */
const DEPTH_MAX = 64

const tooLarge = (limit: number): Problem =>
  new Problem(
    413,
    'body_too_large',
    `the body is larger than ${limit} bytes, as many as server.body_limit_bytes and the state store allow`,
  )

/** The raw body. The limit, in bytes, is kept while reading: a body that does not say its length stops there too. Throws Problem 413. */
export async function readBody(c: Ctx, limit: number): Promise<Buffer> {
  const encoding = header(c, 'content-encoding')?.toLowerCase()
  const transfer = header(c, 'transfer-encoding')?.trim().toLowerCase()
  // Node undoes "chunked" and nothing that stands before it.
  if ((encoding ?? 'identity') !== 'identity' || (transfer ?? 'chunked') !== 'chunked')
    throw new Problem(415, 'unsupported_encoding', 'compressed bodies are not read; send it as it is')
  if (Number(header(c, 'content-length') ?? 0) > limit) throw tooLarge(limit)
  const { incoming } = c.env ?? {}
  return incoming ? fromSocket(incoming, limit) : fromStream(c.req.raw?.body ?? null, limit)
}

/** Without the web stream in between, which would double the cost of a small request. */
function fromSocket(incoming: IncomingMessage, limit: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    const stop = (error: Problem): void => {
      incoming.off('data', onData)
      incoming.pause()
      reject(error)
    }
    const onData = (chunk: Buffer): void => {
      size += chunk.length
      if (size > limit) stop(tooLarge(limit))
      else chunks.push(chunk)
    }
    incoming.on('data', onData)
    incoming.on('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
    const cut = (): void => stop(new Problem(400, 'incomplete_body', 'the connection ended before the body did'))
    incoming.on('error', cut)
    incoming.on('close', () => {
      if (!incoming.readableEnded) cut()
    })
  })
}

async function fromStream(stream: ReadableStream<Uint8Array> | null, limit: number): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of stream ?? []) {
    size += chunk.length
    if (size > limit) throw tooLarge(limit)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

export function text(raw: Buffer): string {
  if (!isUtf8(raw)) throw new Problem(400, 'invalid_utf8', 'the body is not UTF-8')
  const read = raw.toString('utf8')
  return read.charCodeAt(0) === 0xfeff ? read.slice(1) : read
}

/** Throws Problem 400 `invalid_utf8`, `too_deep`, `invalid_json` with the place of the fault, `invalid_number` with its pointer. */
export function parseJson(raw: Buffer): Json {
  const read = text(raw)
  if (nestsDeeper(read, DEPTH_MAX))
    throw new Problem(400, 'too_deep', `the body nests deeper than ${DEPTH_MAX} objects and arrays`)
  const value = parsed(read)
  const large = largeNumber(read, value)
  if (large === undefined) return value
  throw new Problem(400, 'invalid_number', 'a number is larger than a double holds (1.8e308)', {
    errors: [{ pointer: large, message: 'larger than a double holds; send it as text' }],
  })
}

function parsed(read: string): Json {
  try {
    return JSON.parse(read) as Json
  } catch (e) {
    if (!(e instanceof SyntaxError)) throw e
    const { line, column, expected } = jsonFault(read)
    const where = `line ${line}, column ${column}`
    throw new Problem(400, 'invalid_json', `the body is not JSON: ${where}: expected ${expected}`, {
      errors: [{ pointer: '', message: `${where}: expected ${expected}` }],
      extra: { line, column },
    })
  }
}

const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i
const OTHER_CHARSET = /;\s*charset\s*=(?!\s*"?utf-?8"?\s*(?:;|$))/i

/** What a request to a route may say at the least. */
const EXAMPLES: ReadonlyMap<string, string> = new Map([
  ['/v1/dispatch', '{"action_type":"greeting","payload":{"text":"hello"}}'],
  ['/v1/rules/evaluate', '{"action_type":"greeting","payload":{"text":"hello"}}'],
  ['/v1/dispatch/batch', '[{"action_type":"greeting","payload":{"text":"hello"}}]'],
])

/** Throws Problem 415 with the command that works. */
export function needsJson(c: Ctx): void {
  const type = header(c, 'content-type')
  if (type !== undefined && (type === 'application/json' || (JSON_TYPE.test(type) && !OTHER_CHARSET.test(type)))) return
  const { origin, pathname } = new URL(c.req.url)
  throw new Problem(
    415,
    'unsupported_media_type',
    `${type === undefined ? 'the request has no content type' : 'this content type is not read'}; send JSON in UTF-8: curl -X ${c.req.method} '${origin}${pathname}' -H 'content-type: application/json' -d '${EXAMPLES.get(pathname) ?? '{}'}'`,
    { extra: { accepts: ['application/json'] } },
  )
}

/** A JSON body, whatever it is. */
export async function jsonBody(c: Ctx, limit: number): Promise<Json> {
  needsJson(c)
  return parseJson(await readBody(c, limit))
}

/** A JSON body that may be left out: then it is `{}`. */
export async function optionalBody(c: Ctx, limit: number): Promise<Json> {
  const raw = await readBody(c, limit)
  if (raw.length === 0) return {}
  needsJson(c)
  return parseJson(raw)
}

/** For a route that takes no body: what somebody meant to say must not be ignored. Throws Problem 400 `unexpected_body`. */
export async function noBody(c: Ctx, limit: number): Promise<void> {
  const raw = await readBody(c, limit)
  if (raw.length > 0 && text(raw).trim() !== '{}')
    throw new Problem(400, 'unexpected_body', 'this route takes no body; what it needs is in the address')
}
