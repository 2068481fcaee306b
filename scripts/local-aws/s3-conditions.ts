/** S3's conditional writes, which fauxqs would do whatever the condition: `If-None-Match: *` and `If-Match` of PUT, POST and DELETE. */
import type { Fauxqs } from './fauxqs.ts'
import { AwsError, type Call, header } from './wire.ts'

const failed = (): AwsError =>
  new AwsError('PreconditionFailed', 'At least one of the pre-conditions you specified did not hold', 412)

const check = async (fauxqs: Fauxqs, call: Call): Promise<void> => {
  const [none, match] = [header(call, 'if-none-match'), header(call, 'if-match')]
  if (none !== '' && none !== '*') throw new AwsError('NotImplemented', 'If-None-Match takes only *', 501)
  // As it came: in `call.url` a key with `..` has become another.
  const path = (call.request.url ?? '/').split('?')[0] ?? '/'
  const { status, headers, body } = await fauxqs.get(path, call.headers.host)
  if (none === '*' && status === 200) throw failed()
  if (match === '') return
  // Without the bucket, fauxqs says so itself.
  if (status !== 200 && !body.includes('NoSuchBucket'))
    throw new AwsError('NoSuchKey', 'The specified key does not exist.', 404)
  if (status === 200 && match !== '*' && unquoted(match) !== unquoted(headers.etag ?? '')) throw failed()
}
const unquoted = (tag: string): string => tag.replace(/^"|"$/g, '')

/** Conditional writes stand in line, each until the one before is answered: of many at once one wins. */
export const openConditions = (fauxqs: Fauxqs): ((call: Call, write: () => void) => Promise<void>) => {
  let last: Promise<unknown> = Promise.resolve()
  return async (call, write) => {
    const { method, response } = call
    const conditional = header(call, 'if-none-match') !== '' || header(call, 'if-match') !== ''
    if (!conditional || method === 'GET' || method === 'HEAD') return write()
    const mine = last.then(async () => {
      await check(fauxqs, call)
      if (response.destroyed) return
      const over = new Promise((done) => response.once('close', done))
      write()
      await over
    })
    last = mine.catch(() => {})
    await mine
  }
}
