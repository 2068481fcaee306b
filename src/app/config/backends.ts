import { auditBackends } from '../../audit/index.ts'
import { stateBackends } from '../../state/index.ts'
import { type BackendName, backendNames } from './config.ts'
import { type Draft, follow, isTable, report } from './draft.ts'
import type { Path } from './places.ts'

type Section = 'state' | 'audit'

const isName = (name: string): name is BackendName => backendNames.some((b) => b === name)
/** What a section can be kept in. */
const backends: { readonly [s in Section]: readonly BackendName[] } = {
  state: Object.keys(stateBackends).filter(isName),
  audit: Object.keys(auditBackends).filter(isName),
}
/** Which backends read a key; one that is not listed belongs to the section itself. */
const readers: { readonly [key: string]: readonly BackendName[] } = {
  path: ['sqlite'],
  synchronous: ['sqlite'],
  url: ['redis', 'postgres', 'dynamodb'],
  listen_url: ['postgres'],
  per_node: ['sqlite'],
  prefix: ['redis', 'postgres', 'dynamodb'],
  durability: ['redis'],
  region: ['dynamodb'],
  aws_region: ['dynamodb'],
  table_name: ['dynamodb'],
}

/** Without a word on it the audit is kept where the state is. */
export function backendOf(draft: Draft, section: Section): BackendName {
  const written = follow(draft.root, [section, 'backend'])
  const name = backendNames.find((b) => b === written)
  return name ?? (section === 'audit' ? backendOf(draft, 'state') : 'sqlite')
}
const backendPath = (draft: Draft, section: Section): Path =>
  section === 'audit' && follow(draft.root, ['audit', 'backend']) === undefined
    ? ['state', 'backend']
    : [section, 'backend']

export function checkBackends(draft: Draft): void {
  for (const section of ['state', 'audit'] as const) {
    checkKept(draft, section)
    checkKeys(draft, section)
  }
  const [region, path, statePath] = [
    follow(draft.root, ['state', 'region']),
    follow(draft.root, ['audit', 'path']),
    follow(draft.root, ['state', 'path']),
  ]
  if (region !== undefined && follow(draft.root, ['state', 'aws_region']) !== undefined)
    report(draft, 'error', ['state', 'aws_region'], 'state.aws_region and state.region are one: give either', 'key')
  const perNode = follow(draft.root, ['audit', 'per_node'])
  if (backendOf(draft, 'state') !== 'sqlite' && backendOf(draft, 'audit') === 'sqlite' && perNode !== true) {
    const message =
      'audit.backend: a SQLite audit beside a shared state is one of each node, and each record is in one of them only; say per_node = true'
    report(draft, 'error', backendPath(draft, 'audit'), message, 'value')
  }
  const shared = backendOf(draft, 'state') === 'sqlite' && backendOf(draft, 'audit') === 'sqlite'
  if (shared && path !== undefined && path !== statePath) {
    const message = "audit.path: on SQLite the audit shares the state's file and its transactions; set state.path"
    report(draft, 'error', ['audit', 'path'], message, 'value')
  }
}

function checkKept(draft: Draft, section: Section): void {
  const backend = backendOf(draft, section)
  if (backends[section].includes(backend)) return
  const message = `${section}.backend: ${backend} keeps no ${section}; expected one of ${backends[section].join(', ')}`
  report(draft, 'error', backendPath(draft, section), message, 'value')
}

/** Keys of another backend: a mistake, unless a flag or variable has moved a file written for that one. Then one warning. */
function checkKeys(draft: Draft, section: Section): void {
  const table = follow(draft.root, [section])
  if (!isTable(table)) return
  const backend = backendOf(draft, section)
  const foreign = Object.keys(table).filter((k) => Object.hasOwn(readers, k) && !readers[k]!.includes(backend))
  const moved = draft.places.overriddenBy(backendPath(draft, section))
  if (moved !== undefined && foreign.length > 0) {
    const message = `${foreign.map((k) => `${section}.${k}`).join(', ')}: not read by ${backend}, which ${moved} asks for`
    report(draft, 'warning', [section, foreign[0]!], message, 'key')
    return
  }
  for (const key of foreign) {
    const message = `${section}.${key}: ${backend} has no such key; ${readers[key]!.join(', ')} would read it`
    report(draft, 'error', [section, key], message, 'key')
  }
}
