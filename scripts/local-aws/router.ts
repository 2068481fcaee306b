/** Which service a request is for: by its JSON target, its form's API version, its signature, its path. */
import { type Answer, AwsError, type Call, type Form, header, jsonError, queryError, type Service } from './wire.ts'

export interface Services {
  own: (call: Call) => Answer | undefined
  /** By the prefix of `X-Amz-Target`. */
  targets: Record<string, Service>
  /** By the `Version` of a form. */
  forms: Record<string, (call: Call, form: Form) => Promise<Answer>>
  isLambda: (call: Call) => boolean
  lambda: Service
  s3: Service
}

const QUEUE_PATH = /^\/\d{12}\/[\w.-]+$/

/** A form comes in the body or, from the oldest clients, in the query. */
const formOf = async (call: Call): Promise<Form | undefined> => {
  const inBody = call.method === 'POST' && header(call, 'content-type').includes('x-www-form-urlencoded')
  if (inBody) {
    const form = new URLSearchParams((await call.body()).toString())
    return Object.fromEntries([...call.url.searchParams, ...form])
  }
  const inQuery =
    call.url.searchParams.has('Action') && (call.url.pathname === '/' || QUEUE_PATH.test(call.url.pathname))
  return inQuery ? Object.fromEntries(call.url.searchParams) : undefined
}

const notHere = (what: string): AwsError =>
  new AwsError('NotImplemented', `API for service '${what}' is not served here`, 501)

export const router =
  ({ own, targets, forms, isLambda, lambda, s3 }: Services): Service =>
  async (call) => {
    const mine = own(call)
    if (mine) return mine
    const target = header(call, 'x-amz-target')
    if (target) {
      const service = targets[target.split('.')[0] ?? '']
      if (service) return service(call)
      return jsonError(notHere(call.service ?? target), 'application/x-amz-json-1.1')
    }
    const form = await formOf(call)
    if (form) {
      const service = forms[form.Version ?? (QUEUE_PATH.test(call.url.pathname) ? '2012-11-05' : '')]
      return service ? service(call, form) : queryError(notHere(call.service ?? `version ${form.Version}`))
    }
    if (isLambda(call)) return lambda(call)
    if (call.service === undefined || /^s3/.test(call.service)) return s3(call)
    return jsonError(notHere(call.service))
  }
