import { StateUnavailable, StateUnknown } from '../../core/errors.ts'

/**
 * What a server says when it has done nothing. A script may say it from its inside; ours write only at their end, and of that
 * the first command is refused or none.
 */
const NOTHING_DONE =
  /(?:^|\s-?)(OOM|READONLY|LOADING|MISCONF|MASTERDOWN|CLUSTERDOWN|MOVED|ASK|TRYAGAIN|CROSSSLOT|BUSY|NOAUTH|NOPERM|WRONGPASS|NOREPLICAS|NOSCRIPT)\b/

/** The code of a reply that says that nothing was done. */
export const refusalCode = (e: unknown): string | undefined =>
  isReply(e) ? NOTHING_DONE.exec(e.message)?.[1] : undefined
export const isReply = (e: unknown): e is Error => e instanceof Error && e.name === 'ReplyError'

/** Nothing was done because the server has no memory left. */
export class StateFull extends StateUnavailable {}

const SAID: { readonly [code: string]: string } = {
  OOM: 'Redis is full (maxmemory)',
  READONLY: 'Redis is a read-only replica',
  LOADING: 'Redis is loading its data',
  MISCONF: 'Redis cannot write to its disk',
  NOAUTH: 'Redis asks for a password',
  WRONGPASS: 'Redis refuses the password',
  NOPERM: 'Redis does not permit this user what the store needs',
}

/** A call that failed after it was sent, as its caller is told. */
export function failed(e: unknown): StateUnavailable | StateUnknown {
  const code = refusalCode(e)
  if (code === 'OOM') return new StateFull(SAID['OOM']!, { cause: e })
  if (code !== undefined) return new StateUnavailable(SAID[code] ?? `Redis refused: ${code}`, { cause: e })
  return new StateUnknown(`Redis did not answer: ${say(e)}`, { cause: e })
}
export const say = (e: unknown): string => (e instanceof Error ? e.message : String(e))
