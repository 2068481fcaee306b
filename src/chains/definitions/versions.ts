import { GLOBAL } from '../../core/action.ts'
import { kinds } from '../../core/hold.ts'
import { joinParts, uuidv7Of } from '../../core/ids.ts'
import type { Entry, Op, StateStore } from '../../core/state.ts'
import type { ChainDefinition } from '../model/definition.ts'

/** Of each chain so many versions are kept; an execution has what it began with anyway. */
export const VERSIONS_KEPT = 50

/** A definition that came into force through the API. Its entry's id sorts by when it did. */
export interface Version {
  readonly name: string
  readonly version: string
  readonly definition: ChainDefinition
  readonly updated_at: string
  readonly updated_by: string
  /** It came back; this version was in force until then. */
  readonly rolled_back_from?: string
}
export interface VersionsPage {
  readonly versions: readonly Version[]
  readonly next?: string
}
export interface Versions {
  /** Newest first. */
  list(name: string, page: { readonly limit: number; readonly after?: string }): Promise<VersionsPage>
  /** The newest with this content. */
  get(name: string, version: string): Promise<Version | undefined>
  /** For the commit that puts it in force: it is kept, with the one before if that never was, and the oldest beyond the limit go. */
  putOps(next: Version, before: Version | undefined): Promise<readonly Op[]>
  /** For the commit that forgets the chain. */
  forgetOps(name: string): Promise<readonly Op[]>
}

const nameTag = (name: string): string => `chain:${name}`
const versionTag = (name: string, version: string): string => `version:${joinParts([name, version])}`
const kind = kinds.chainVersion
const read = (e: Entry): Version => JSON.parse(e.value) as Version

export function createVersions(state: StateStore, newId: () => string): Versions {
  const put = (id: string, v: Version): Op => ({
    op: 'put',
    kind,
    id,
    value: JSON.stringify(v),
    version: newId(),
    tags: [nameTag(v.name), versionTag(v.name, v.version)],
  })
  const remove = (e: Entry): Op => ({ op: 'delete', kind, id: e.key.id })
  const page = (tag: string, limit: number, after?: string) =>
    state.list(kind, GLOBAL, { tag, limit, descending: true, ...(after !== undefined && { after }) })

  /** Those below `after`, or all. */
  async function rest(name: string, after?: string): Promise<readonly Entry[]> {
    const found: Entry[] = []
    let from = after
    do {
      const { entries, next } = await page(nameTag(name), VERSIONS_KEPT, from)
      found.push(...entries)
      from = next
    } while (from !== undefined)
    return found
  }

  return {
    async list(name, { limit, after }) {
      const { entries, next } = await page(nameTag(name), limit, after)
      return { versions: entries.map(read), ...(next !== undefined && { next }) }
    },
    async get(name, version) {
      const [entry] = (await page(versionTag(name, version), 1)).entries
      return entry && read(entry)
    },
    async putOps(next, before) {
      // The new one is one of those that are kept.
      const kept = await page(nameTag(next.name), VERSIONS_KEPT - 1)
      const old = kept.next === undefined ? [] : await rest(next.name, kept.next)
      const unkept = before !== undefined && kept.entries.length === 0
      const since = unkept ? uuidv7Of(Date.parse(before.updated_at), 'chain_version', before.name) : ''
      return [...(unkept ? [put(since, before)] : []), put(newId(), next), ...old.map(remove)]
    },
    forgetOps: async (name) => (await rest(name)).map(remove),
  }
}
