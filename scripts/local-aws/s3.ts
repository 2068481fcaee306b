/** S3, path style or `<bucket>.localhost`. What fauxqs would take for another operation is refused here. */
import type { Fauxqs } from './fauxqs.ts'
import { openConditions } from './s3-conditions.ts'
import { AwsError, asAwsError, element, type Service, xml } from './wire.ts'

/** Query names of operations we have; any other selects one that fauxqs would answer as if it were plain. */
const KNOWN = new Set([
  ...['list-type', 'prefix', 'delimiter', 'max-keys', 'marker', 'continuation-token', 'start-after', 'encoding-type'],
  ...['fetch-owner', 'uploads', 'uploadid', 'partnumber', 'delete', 'location', 'lifecycle', 'attributes'],
  ...['renameobject', 'x-id', 'awsaccesskeyid', 'signature', 'expires'],
])
const isKnown = (name: string): boolean => KNOWN.has(name.toLowerCase()) || /^(x-amz|response)-/i.test(name)

const notImplemented = (what: string): AwsError =>
  new AwsError(
    'NotImplemented',
    `A header or parameter you provided implies functionality that is not implemented: ${what}`,
    501,
  )

const bucketPath = (url: URL): string => `/${url.pathname.split('/')[1]}`

export const openS3 = (fauxqs: Fauxqs): Service => {
  const whereItHolds = openConditions(fauxqs)
  return async (call) => {
    const { method, url, request, response } = call
    try {
      const query = url.searchParams
      const missing = [...query.keys()].find((name) => !isKnown(name))
      if (missing) throw notImplemented(`?${missing}`)
      if (query.has('uploads') && method === 'GET') throw notImplemented('listing multipart uploads')
      if (query.has('uploadId') && method === 'GET') throw notImplemented('listing parts')
      if (url.pathname === '/' && method !== 'GET' && method !== 'HEAD' && !request.headers.host?.includes('.'))
        throw new AwsError('MethodNotAllowed', 'The specified method is not allowed against this resource.', 405)
      if (query.has('location') && method === 'GET' && (await fauxqs.get(bucketPath(url))).status === 200)
        return xml(`<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></LocationConstraint>`)
      await whereItHolds(call, () => fauxqs.serve(request, response))
      return undefined
    } catch (thrown) {
      const error = asAwsError(thrown)
      return xml(`<Error>${element('Code', error.code)}${element('Message', error.message)}</Error>`, error.status)
    }
  }
}
