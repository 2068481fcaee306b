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
  OOM: 'it is full (maxmemory)',
  READONLY: 'it is a read-only replica',
  LOADING: 'it is loading its data',
  MISCONF: 'it cannot write to its disk',
  NOAUTH: 'it refuses the password',
  WRONGPASS: 'it refuses the password',
  NOPERM: 'it does not permit this user what the store needs',
}

/** Why, in a few words that follow the server's name. */
export function reason(e: unknown): string {
  const code = refusalCode(e)
  if (code !== undefined) return SAID[code] ?? `it says ${code}`
  if (say(e) === 'Command timed out') return 'it does not answer'
  // Of the system's errors the name says more than the words; of those of TLS it is the other way round.
  return e instanceof Error && 'code' in e && /^E[A-Z0-9]+$/.test(String(e.code)) ? String(e.code) : say(e)
}

/** A call that failed after it was sent, as its caller is told. */
export function failed(e: unknown): StateUnavailable | StateUnknown {
  const code = refusalCode(e)
  const message = `Redis: ${reason(e)}`
  if (code === 'OOM') return new StateFull(message, { cause: e })
  return new (code === undefined ? StateUnknown : StateUnavailable)(message, { cause: e })
}
export const say = (e: unknown): string => (e instanceof Error ? e.message : String(e))
