/** S3, path style or `<bucket>.localhost`. What fauxqs would take for another operation is refused here. */
import type { Fauxqs } from './fauxqs.ts'
import { AwsError, asAwsError, DEFAULT_REGION, element, type Service, xml } from './wire.ts'

/** Query names that select an operation we do not have: fauxqs would answer them as the plain one. */
const MISSING = [
  ...[
    'accelerate',
    'acl',
    'analytics',
    'cors',
    'encryption',
    'intelligent-tiering',
    'inventory',
    'legal-hold',
    'logging',
  ],
  ...['metrics', 'notification', 'object-lock', 'ownershipControls', 'policy', 'policyStatus', 'publicAccessBlock'],
  ...['replication', 'requestPayment', 'restore', 'retention', 'select', 'session', 'tagging', 'torrent', 'versionId'],
  ...['versioning', 'versions', 'website', 'metadataTable', 'metadataConfiguration'],
]

const notImplemented = (what: string): AwsError =>
  new AwsError(
    'NotImplemented',
    `A header or parameter you provided implies functionality that is not implemented: ${what}`,
    501,
  )

export const openS3 =
  (fauxqs: Fauxqs): Service =>
  async ({ method, url, request, response, headers }) => {
    try {
      const query = url.searchParams
      const missing = MISSING.find((name) => query.has(name))
      if (missing) throw notImplemented(`?${missing}`)
      if (query.has('uploads') && method === 'GET') throw notImplemented('listing multipart uploads')
      if (query.has('uploadId') && method === 'GET') throw notImplemented('listing parts')
      if (headers['x-amz-copy-source'] && query.has('partNumber') === false && query.has('uploadId'))
        throw notImplemented('this copy')
      if (url.pathname === '/' && method !== 'GET' && method !== 'HEAD' && !request.headers.host?.includes('.'))
        throw new AwsError('MethodNotAllowed', 'The specified method is not allowed against this resource.', 405)
      if (query.has('location') && method === 'GET')
        return xml(`<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></LocationConstraint>`)
      if (!response.hasHeader('x-amz-bucket-region') && method === 'HEAD')
        response.setHeader('x-amz-bucket-region', DEFAULT_REGION)
      fauxqs.serve(request, response)
      return undefined
    } catch (thrown) {
      const error = asAwsError(thrown)
      return xml(`<Error>${element('Code', error.code)}${element('Message', error.message)}</Error>`, error.status)
    }
  }
