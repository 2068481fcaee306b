import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Problem, StateUnavailable, showFinding } from '../../src/core/errors.ts'
import type { Control } from '../../src/core/state.ts'
import { openRules, type Rules, RulesNotLoaded } from '../../src/rules/rules.ts'
import { type TestEnv, testEnv } from '../fakes/env.ts'
import { action, context, hotRules, NOON } from './build.ts'
import { memoryControl } from './control.ts'

let root: string
let dir: string
let env: TestEnv
let control: Control
let scopeControl: Control
const opened: Rules[] = []
const rule = (name: string, type = 'suppress', more = '') => `  - { name: ${name}, action: { type: ${type} }${more} }\n`
const write = (path: string, ...rules: string[]) => writeFileSync(join(dir, path), `rules:\n${rules.join('')}`)

async function open(more: { directory?: string; mayBeAbsent?: boolean } = {}): Promise<Rules> {
  const { timezone, envNames, redact } = context
  const rules = await openRules({
    directory: dir,
    names: () => context.names,
    env,
    control,
    scopeControl,
    hotRules: () => hotRules,
    dispatchedBy: () => ({ types: new Set(), lockBy: undefined }),
    processEnv: { STAGE: 'test' },
    defaults: { timezone, envNames, redact },
    ...more,
  })
  opened.push(rules)
  return rules
}
const names = (rules: Rules) => rules.list().map((r) => r.name)
const outcome = (rules: Rules) => rules.current().evaluate({ action: action(), now: NOON }).end

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'signalbox-rules-'))
  dir = join(root, 'rules')
  mkdirSync(dir)
  env = testEnv()
  control = memoryControl()
  scopeControl = memoryControl()
})
afterEach(() => {
  for (const r of opened.splice(0)) r.stop()
  rmSync(root, { recursive: true, force: true })
})

describe('loading a directory', () => {
  it('PITFALLS 4: recursively, in order of path, .yaml and .yml alone, hidden names left out', async () => {
    mkdirSync(join(dir, 'b'))
    mkdirSync(join(dir, '..data'))
    write('z.yaml', rule('z'))
    write('b/1.yml', rule('b1'))
    write('a.yaml', rule('a'))
    write('..data/a.yaml', rule('a'))
    write('.draft.yaml', 'nonsense: [')
    writeFileSync(join(dir, 'README.md'), 'no rules')
    const rules = await open()
    expect(names(rules)).toEqual(['a', 'b1', 'z'])
    expect(rules.get('b1')).toEqual({
      name: 'b1',
      priority: 0,
      enabled: true,
      type: 'suppress',
      file: 'rules/b/1.yml',
      line: 2,
      hits: 0,
    })
  })
  it('a first load that fails throws every finding', async () => {
    write('a.yaml', rule('a', 'supress'))
    write('b.yaml', rule('b', 'deney'))
    await expect(open()).rejects.toThrow(RulesNotLoaded)
    await expect(open()).rejects.toThrow(/rules\/a\.yaml:2:[\s\S]*rules\/b\.yaml:2:/)
    await expect(open({ directory: join(root, 'nowhere') })).rejects.toThrow(
      /nowhere: error: the rules directory cannot be read: there is no such directory/,
    )
  })
  it('a directory that nobody named may be absent at the start; once there, its going away empties nothing', async () => {
    const late = join(root, 'late')
    const rules = await open({ directory: late, mayBeAbsent: true })
    expect(names(rules)).toEqual([])
    expect(rules.lastLoad.ok).toBe(true)
    expect(rules.lastLoad.findings.map(showFinding)).toEqual([
      `${late}: warning: there are no rules: there is no such directory`,
    ])
    mkdirSync(late)
    writeFileSync(join(late, 'a.yaml'), `rules:\n${rule('a', 'deny')}`)
    await rules.reload()
    expect(names(rules)).toEqual(['a'])
    rmSync(late, { recursive: true })
    expect((await rules.reload()).ok).toBe(false)
    expect(names(rules)).toEqual(['a'])
  })
  it('links that lead in a circle end, and one that leads nowhere is named', async () => {
    write('a.yaml', rule('a'))
    symlinkSync('..', join(dir, 'round'))
    // `rules/round` is the parent, which holds `rules` again, and there the circle ends.
    expect(names(await open())).toEqual(['a'])
    symlinkSync('/nowhere/at/all.yaml', join(dir, 'gone.yaml'))
    await expect(open()).rejects.toThrow('rules/gone.yaml:1:1: error: cannot be read: ENOENT')
  })
  it('the version changes with the files, what they take from the environment, and the switches', async () => {
    write('a.yaml', rule('a'))
    const rules = await open()
    const { version } = rules.current()
    expect(await rules.reload()).toMatchObject({ ok: true, version })
    await rules.setEnabled('a', false, { by: 'ann' })
    const off = rules.current().version
    write('a.yaml', rule('a'), '# a comment\n')
    await rules.reload()
    expect(new Set([version, off, rules.current().version]).size).toBe(3)
  })
})

describe('a bad edit', () => {
  it('PITFALLS 1: changes nothing; the rules of before stay in force, and the error is kept with its time', async () => {
    write('a.yaml', rule('block', 'deny'))
    write('b.yaml', rule('other', 'suppress'))
    const rules = await open()
    const before = rules.current()
    write('a.yaml', '  - { name: block, action: { type: deny }, priorty: 1 }\n')
    await env.clock.advance(1000)
    const done = await rules.reload()
    expect(done).toMatchObject({ ok: false })
    expect(rules.current()).toBe(before)
    expect(outcome(rules).kind).toBe('deny')
    expect(rules.lastLoad).toMatchObject({ ok: false, at: env.clock.now() })
    expect(rules.lastLoad.findings.map(showFinding)).toEqual([
      expect.stringMatching(/^rules\/a\.yaml:2:44: error: unknown key "priorty".*did you mean "priority"/),
    ])
    expect(env.logged.some((l) => l.level === 'error')).toBe(true)
    write('a.yaml', rule('block', 'suppress'))
    expect(await rules.reload()).toMatchObject({ ok: true })
    expect(rules.lastLoad).toMatchObject({ ok: true, findings: [] })
    expect(outcome(rules).kind).toBe('suppress')
  })
  it('a directory that is gone changes nothing either', async () => {
    write('a.yaml', rule('a', 'deny'))
    const rules = await open()
    rmSync(dir, { recursive: true })
    expect(await rules.reload()).toMatchObject({ ok: false })
    expect(outcome(rules).kind).toBe('deny')
  })
  it('work in hand finishes on the set it began with', async () => {
    write('a.yaml', rule('a', 'deny'))
    const rules = await open()
    const inHand = rules.current()
    write('a.yaml', rule('a', 'suppress'))
    await rules.reload()
    expect(inHand.evaluate({ action: action(), now: NOON }).end.kind).toBe('deny')
    expect(outcome(rules).kind).toBe('suppress')
  })
  it('check compiles a text and changes nothing', async () => {
    write('a.yaml', rule('a', 'deny'))
    const rules = await open()
    const { version } = rules.current()
    expect(rules.check(`rules:\n${rule('a')}`)).toEqual([])
    expect(rules.check('rules:\n  - { name: x, action: { type: alow } }\n').map(showFinding)).toEqual([
      expect.stringContaining('rules.yaml:2:32: error: there is no rule action "alow"'),
    ])
    expect(rules.current().version).toBe(version)
  })
})

describe('PITFALLS 6: an edit is in force within a second', () => {
  /** One look of the watcher, which reads real files: time is the fake clock's, the files need real turns of the loop. */
  async function look(rules: Rules, seen: () => boolean): Promise<void> {
    rules.start()
    await env.clock.advance(500)
    for (let i = 0; i < 2000 && !seen(); i++) await env.clock.settle()
    expect(seen()).toBe(true)
  }
  it('written in place', async () => {
    write('a.yaml', rule('a'))
    const rules = await open()
    write('a.yaml', rule('b'))
    await look(rules, () => names(rules).includes('b'))
  })
  it('renamed over', async () => {
    write('a.yaml', rule('a'))
    const rules = await open()
    write('new.tmp', rule('b'))
    renameSync(join(dir, 'new.tmp'), join(dir, 'a.yaml'))
    await look(rules, () => names(rules).join() === 'b')
  })
  it('added, and removed', async () => {
    write('a.yaml', rule('a'))
    const rules = await open()
    mkdirSync(join(dir, 'deep'))
    write('deep/b.yaml', rule('b'))
    await look(rules, () => names(rules).join() === 'a,b')
    unlinkSync(join(dir, 'a.yaml'))
    await look(rules, () => names(rules).join() === 'b')
  })
  it('the directory is a link, and is set to another place', async () => {
    for (const v of ['v1', 'v2']) {
      mkdirSync(join(root, v))
      writeFileSync(join(root, v, 'a.yaml'), `rules:\n${rule(v)}`)
    }
    symlinkSync('v1', join(root, 'current'))
    const rules = await open({ directory: join(root, 'current') })
    expect(names(rules)).toEqual(['v1'])
    symlinkSync('v2', join(root, 'next'))
    renameSync(join(root, 'next'), join(root, 'current'))
    await look(rules, () => names(rules).join() === 'v2')
  })
  it('files are links through a hidden folder, as mounted volumes have them, and the folder is swapped', async () => {
    for (const v of ['..v1', '..v2']) {
      mkdirSync(join(dir, v))
      write(`${v}/a.yaml`, rule(v.slice(2)))
    }
    symlinkSync('..v1', join(dir, '..data'))
    symlinkSync('..data/a.yaml', join(dir, 'a.yaml'))
    const rules = await open()
    expect(names(rules)).toEqual(['v1'])
    symlinkSync('..v2', join(dir, '..next'))
    renameSync(join(dir, '..next'), join(dir, '..data'))
    await look(rules, () => names(rules).join() === 'v2')
  })
  it('a bad edit is reported once, not at every look; stop ends the looking', async () => {
    write('a.yaml', rule('a'))
    const rules = await open()
    write('a.yaml', rule('b', 'nothing'))
    await look(rules, () => !rules.lastLoad.ok)
    const { at } = rules.lastLoad
    for (let i = 0; i < 4; i++) await env.clock.advance(500)
    expect(rules.lastLoad.at).toBe(at)
    rules.stop()
    await env.clock.advance(500)
    for (let i = 0; i < 50; i++) await env.clock.settle()
    expect(env.clock.pending).toBe(0)
  })
})

describe('PITFALLS 5: switches', () => {
  const off = { by: 'ann', why: 'too loud' }
  it('are durable: they survive a reload and a restart, and every node has them', async () => {
    write('a.yaml', rule('a', 'deny'))
    const rules = await open()
    const other = await open()
    const view = await rules.setEnabled('a', false, off)
    expect(view).toMatchObject({
      enabled: false,
      disabled_by: 'ann',
      disable_details: { why: 'too loud', at: new Date(env.clock.now()).toISOString() },
    })
    expect(outcome(rules).kind).toBe('deliver')
    expect(outcome(other).kind).toBe('deliver')
    write('b.yaml', rule('b', 'allow'))
    await rules.reload()
    expect(outcome(rules)).toMatchObject({ rule: 'b' })
    expect((await open()).get('a')).toMatchObject({ enabled: false, disabled_by: 'ann' })
    expect(await rules.setEnabled('a', true, { by: 'bob' })).not.toHaveProperty('disabled_by')
    expect(outcome(other).kind).toBe('deny')
  })
  it("win until the file's own enabled changes, and do not come back when it changes again", async () => {
    write('a.yaml', rule('a', 'deny'))
    const rules = await open()
    await rules.setEnabled('a', false, off)
    write('a.yaml', rule('a', 'deny', ', enabled: false'))
    await rules.reload()
    expect(rules.get('a')).toMatchObject({ enabled: false })
    expect(rules.get('a')).not.toHaveProperty('disabled_by')
    write('a.yaml', rule('a', 'deny', ', enabled: true'))
    await rules.reload()
    expect(rules.get('a')?.enabled).toBe(true)
    write('a.yaml', rule('a', 'deny', ', enabled: false'))
    await rules.reload()
    await rules.setEnabled('a', true, { by: 'ann' })
    expect(rules.get('a')?.enabled).toBe(true)
  })
  it('an unknown rule is 404; a store that is down is told, and changes nothing', async () => {
    write('a.yaml', rule('a', 'deny'))
    const rules = await open()
    await expect(rules.setEnabled('b', false, off)).rejects.toThrow(Problem)
    control.put = () => Promise.reject(new StateUnavailable('down'))
    await expect(rules.setEnabled('a', false, off)).rejects.toThrow(StateUnavailable)
    expect(rules.get('a')?.enabled).toBe(true)
  })
  it('a stored switch that cannot be read has no effect', async () => {
    write('a.yaml', rule('a', 'deny'))
    await control.put('a', '{"enabled":')
    expect((await open()).get('a')?.enabled).toBe(true)
  })
})

describe('hits', () => {
  it('are counted by name and survive a reload', async () => {
    write('a.yaml', rule('a'), rule('b'))
    const rules = await open()
    rules.hit(['a', 'b'], NOON)
    rules.hit(['a'], NOON + 1000)
    await rules.reload()
    expect(rules.get('a')).toMatchObject({ hits: 2, last_hit: '2026-01-05T12:00:01.000Z' })
    expect(rules.list().map((r) => r.hits)).toEqual([2, 1])
  })
})
