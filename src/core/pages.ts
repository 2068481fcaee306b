import type { Scope } from './action.ts'
import type { Entry, StateStore } from './state.ts'

const PAGE = 500
/** A million entries: more than that are left for another time. */
const MOST_PAGES = 2000

/** Every entry of a kind in a scope, page by page, each page worked on before the next is read. False: there are more than are looked at in one go. */
export async function eachEntry(
  state: Pick<StateStore, 'list'>,
  kind: string,
  scope: Scope,
  work: (entries: readonly Entry[]) => Promise<unknown>,
): Promise<boolean> {
  let after: string | undefined
  for (let n = 0; n < MOST_PAGES; n++) {
    const page = await state.list(kind, scope, { limit: PAGE, ...(after !== undefined && { after }) })
    await work(page.entries)
    after = page.next
    if (after === undefined) return true
  }
  return false
}

/** The first entries of a list, up to `limit`, over as many pages as their sizes make of them. */
export async function firstEntries(
  state: Pick<StateStore, 'list'>,
  kind: string,
  scope: Scope,
  opts: { readonly tag?: string; readonly limit: number; readonly descending?: boolean },
): Promise<readonly Entry[]> {
  const found: Entry[] = []
  let after: string | undefined
  do {
    const limit = opts.limit - found.length
    const page = await state.list(kind, scope, { ...opts, limit, ...(after !== undefined && { after }) })
    found.push(...page.entries)
    after = page.next
  } while (after !== undefined && found.length < opts.limit)
  return found
}

/** What ending the work a rule holds has come to. */
export interface EndedWork {
  readonly cancelled: number
  /** Past ending: on its way out already. */
  readonly beingReleased: number
  /** False: there was more than is looked at in one go. */
  readonly all: boolean
}
