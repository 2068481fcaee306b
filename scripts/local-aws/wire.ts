/** What every service here speaks: a call in, an answer out, an AWS error in the protocol of the caller. */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'

export const ACCOUNT = '000000000000'
export const DEFAULT_REGION = 'us-east-1'

export interface Call {
  readonly method: string
  readonly url: URL
  readonly headers: IncomingMessage['headers']
  /** From the signature's credential scope. */
  readonly region: string
  /** The signing name (`s3`, `email`, …), where the request carries one. */
  readonly service: string | undefined
  readonly body: () => Promise<Buffer>
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

export interface Answer {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: string | Buffer
}

/** Answers a call; `undefined` means it has written to `call.response` itself. */
export type Service = (call: Call) => Promise<Answer | undefined>

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

export class AwsError extends Error {
  readonly code: string
  readonly status: number
  readonly fields: Record<string, unknown>
  constructor(code: string, message: string, status = 400, fields: Record<string, unknown> = {}) {
    super(message)
    this.code = code
    this.status = status
    this.fields = fields
  }
}

export const asAwsError = (error: unknown): AwsError => {
  if (error instanceof AwsError) return error
  console.error(error)
  return new AwsError('InternalFailure', error instanceof Error ? error.message : String(error), 500)
}

export const header = (call: Call, name: string): string => {
  const value = call.headers[name]
  return (Array.isArray(value) ? value[0] : value) ?? ''
}

/** A JSON body, `{}` where there is none. The shape is the caller's to check. */
export const parseBody = <T = Json>(body: Buffer | string): T => {
  try {
    return JSON.parse(body.toString() || '{}') as T
  } catch {
    throw new AwsError('SerializationException', 'Could not parse the request body as JSON')
  }
}

export const json = (value: unknown, status = 200, headers: Record<string, string> = {}): Answer => ({
  status,
  headers: { 'content-type': 'application/json', 'x-amzn-requestid': randomUUID(), ...headers },
  body: value === undefined ? '' : JSON.stringify(value),
})

/** Both spellings of `message`: AWS services differ, and clients read the one of their service. */
export const jsonError = (error: AwsError, contentType = 'application/json'): Answer =>
  json({ __type: error.code, message: error.message, Message: error.message, ...error.fields }, error.status, {
    'content-type': contentType,
    'x-amzn-errortype': error.code,
  })

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' }
export const escapeXml = (text: string): string => text.replace(/[&<>"']/g, (c) => ENTITIES[c] ?? c)
export const unescapeXml = (text: string): string =>
  text
    .replace(/&#(\d+);/g, (_, n: string) => String.fromCodePoint(Number(n)))
    .replace(/&(amp|lt|gt|quot|apos);/g, (entity) => Object.keys(ENTITIES).find((c) => ENTITIES[c] === entity) ?? '')

/** An element, or nothing where there is no value. */
export const element = (name: string, value: string | number | boolean | null | undefined): string =>
  value === undefined || value === null ? '' : `<${name}>${escapeXml(String(value))}</${name}>`

export const xml = (body: string, status = 200): Answer => ({
  status,
  headers: { 'content-type': 'text/xml', 'x-amzn-requestid': randomUUID() },
  body: `<?xml version="1.0" encoding="UTF-8"?>\n${body}`,
})

export type Form = Record<string, string>
type QueryOperation = (form: Form, call: Call) => string | Promise<string>

/** The older form-encoded protocol: an operation gives back the inside of its `…Result` element. */
export const queryProtocol =
  (namespace: string, operation: (name: string) => QueryOperation | undefined) =>
  async (call: Call, form: Form): Promise<Answer> => {
    const action = form.Action ?? ''
    try {
      const run = operation(action)
      if (!run) throw new AwsError('InvalidAction', `Could not find operation ${action} for version ${form.Version}`)
      const inside = await run(form, call)
      const metadata = `<ResponseMetadata><RequestId>${randomUUID()}</RequestId></ResponseMetadata>`
      return xml(
        `<${action}Response xmlns="${namespace}"><${action}Result>${inside}</${action}Result>${metadata}</${action}Response>`,
      )
    } catch (error) {
      return queryError(asAwsError(error), namespace)
    }
  }

export const queryError = (error: AwsError, namespace = ''): Answer =>
  xml(
    `<ErrorResponse${namespace && ` xmlns="${namespace}"`}><Error><Type>${error.status < 500 ? 'Sender' : 'Receiver'}</Type>` +
      `${element('Code', error.code)}${element('Message', error.message)}</Error><RequestId>${randomUUID()}</RequestId></ErrorResponse>`,
    error.status,
  )

/** `Destination.ToAddresses.member.1` = x becomes { Destination: { ToAddresses: { member: { 1: x } } } }. */
export interface FormTree {
  [part: string]: string | FormTree
}
export const formTree = (form: Form): FormTree => {
  const root: FormTree = Object.create(null)
  for (const [name, value] of Object.entries(form)) {
    const parts = name.split('.')
    const last = parts.pop() ?? ''
    let node = root
    for (const part of parts) {
      let next = node[part]
      if (typeof next !== 'object') {
        next = Object.create(null) as FormTree
        node[part] = next
      }
      node = next
    }
    node[last] = value
  }
  return root
}

/** The values of a form list in the order of their numbers. */
export const formList = (node: string | FormTree | undefined): (string | FormTree)[] =>
  typeof node === 'object'
    ? Object.keys(node)
        .sort((a, b) => Number(a) - Number(b))
        .map((key) => node[key] ?? '')
    : []

/** One of something for each region, made when first asked for. */
export const perRegion = <T>(make: (region: string) => T): ((region: string) => T) => {
  const all = new Map<string, T>()
  return (region) => {
    const known = all.get(region)
    if (known !== undefined) return known
    const made = make(region)
    all.set(region, made)
    return made
  }
}

export interface Arn {
  service: string
  region: string
  resource: string
}
export const parseArn = (arn: string): Arn => {
  const [, , service = '', region = '', , ...rest] = arn.split(':')
  return { service, region: region || DEFAULT_REGION, resource: rest.join(':') }
}
