import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { loopTable } from '../src/loops/index.ts'
import { providerTypes } from '../src/providers/index.ts'

/** The architecture as a test: floors, cycles, sizes, tables, and where time and chance come from. */

const root = resolve(import.meta.dirname, '..')
const src = join(root, 'src')

const files = (dir: string): string[] =>
  readdirSync(dir).flatMap((name) => {
    const path = join(dir, name)
    if (statSync(path).isDirectory()) return name === 'node_modules' ? [] : files(path)
    return /\.(ts|cjs|mjs|js)$/.test(name) ? [path] : []
  })
const show = (path: string): string => relative(root, path)

const IMPORT =
  /(?:^|\n)\s*(?:import|export)\b[^'";]*?from\s*'(\.[^']+)'|\bimport\(\s*'(\.[^']+)'\s*\)|new URL\('(\.[^']+\.ts)'/g
const importsOf = (path: string): string[] =>
  [...readFileSync(path, 'utf8').matchAll(IMPORT)].map((m) => resolve(dirname(path), (m[1] ?? m[2] ?? m[3])!))

/** Imports go down only. Folders of one floor do not know each other. */
const FLOORS: readonly (readonly string[])[] = [
  ['core'],
  ['delivery'],
  ['chains', 'groups', 'schedules', 'quotas', 'retention', 'nodes'],
  ['rules'],
  ['dispatch'],
  ['http', 'loops'],
  ['app'],
]
const ADAPTERS = ['state', 'audit', 'providers']
const folderOf = (path: string): string => relative(src, path).split('/')[0]!
const floorOf = (folder: string): number => FLOORS.findIndex((f) => f.includes(folder))

const sources = files(src)

describe('the house', () => {
  it('has every folder of src on a floor', () => {
    const folders = [...new Set(sources.map(folderOf))]
    expect(folders.filter((f) => floorOf(f) < 0 && !ADAPTERS.includes(f))).toEqual([])
  })

  it('imports go down only; adapters import core, and app alone imports adapters', () => {
    const wrong: string[] = []
    for (const from of sources)
      for (const to of importsOf(from)) {
        const [a, b] = [folderOf(from), folderOf(to)]
        if (a === b || !to.startsWith(src)) continue
        const ok = ADAPTERS.includes(a) ? b === 'core' : ADAPTERS.includes(b) ? a === 'app' : floorOf(b) < floorOf(a)
        if (!ok) wrong.push(`${show(from)} → ${show(to)}`)
      }
    expect(wrong).toEqual([])
  })

  it('has no import cycle, types included', () => {
    const graph = new Map(sources.map((f) => [f, importsOf(f)]))
    const done = new Set<string>()
    const cycles: string[] = []
    const walk = (file: string, path: string[]): void => {
      const at = path.indexOf(file)
      if (at >= 0) return void cycles.push([...path.slice(at), file].map(show).join(' → '))
      if (done.has(file)) return
      for (const next of graph.get(file) ?? []) walk(next, [...path, file])
      done.add(file)
    }
    for (const f of sources) walk(f, [])
    expect(cycles).toEqual([])
  })

  it('has no hand-written file over 300 lines', () => {
    const all = [...sources, ...files(join(root, 'scripts'))]
    const long = all.map((f) => ({ file: show(f), lines: readFileSync(f, 'utf8').trimEnd().split('\n').length }))
    expect(long.filter((f) => f.lines > 300)).toEqual([])
  })

  it('takes time, timers, chance and ids from core/clock.ts and core/ids.ts alone', () => {
    const banned =
      /\bDate\.now\b|\bsetTimeout\b|\bsetInterval\b|\bMath\.random\b|\bnew Date\(\s*\)|\brandomUUID\b|\bperformance\.now\b/
    const allowed = ['src/core/clock.ts', 'src/core/ids.ts']
    const wrong = sources
      .filter((f) => !allowed.includes(show(f)))
      .flatMap((f) =>
        readFileSync(f, 'utf8')
          .split('\n')
          .flatMap((line, i) =>
            banned.test(line.replace(/\/\/.*|^\s*\/?\*.*/, '')) ? [`${show(f)}:${i + 1}: ${line.trim()}`] : [],
          ),
      )
    expect(wrong).toEqual([])
  })

  it('knows no manager, helper, utils, service or common', () => {
    const names = sources
      .map(show)
      .filter((f) => /(^|[/.-])(managers?|helpers?|utils?|services?|commons?)([/.-]|$)/.test(f))
    expect(names).toEqual([])
  })

  it('has one table line for each file of a kind', () => {
    const kinds: readonly [folder: string, table: string][] = [
      ['rules/actions', 'rules/actions/index.ts'],
      ['loops', 'loops/index.ts'],
      ['chains/steps', 'chains/steps/index.ts'],
      ['http/routes', 'http/routes/index.ts'],
    ]
    /** Files of these folders that are no kind but what the kinds share. */
    const shared = new Set([
      'loops/background.ts',
      'loops/due.ts',
      'loops/loop.ts',
      'loops/parts.ts',
      'loops/periodic.ts',
    ])
    const missing = kinds.flatMap(([folder, table]) => {
      const text = readFileSync(join(src, table), 'utf8')
      return readdirSync(join(src, folder))
        .filter((f) => f.endsWith('.ts') && f !== 'index.ts' && !shared.has(`${folder}/${f}`))
        .filter((f) => !text.includes(`'./${f}'`))
        .map((f) => `${folder}/${f} is not in ${table}`)
    })
    expect(missing).toEqual([])
  })

  it('has each provider type in a file of its name, and each loop', () => {
    for (const t of providerTypes) expect(statSync(join(src, 'providers', `${t.type}.ts`)).isFile(), t.type).toBe(true)
    for (const l of loopTable) expect(statSync(join(src, 'loops', `${l.name}.ts`)).isFile(), l.name).toBe(true)
  })

  it('waits in tests for as long as a busy machine takes, not for the one second that is the default', () => {
    const short = files(join(root, 'test')).flatMap((f) => {
      const text = readFileSync(f, 'utf8')
      const waits = text.match(/\bvi\.wait(For|Until)\(/g)?.length ?? 0
      return waits > (text.match(/\bSOON\b(?! })/g)?.length ?? 0) ? [show(f)] : []
    })
    expect(short).toEqual([])
  })
})
