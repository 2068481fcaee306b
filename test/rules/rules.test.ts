import { mkdirSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Problem, StateUnavailable, showFinding } from '../../src/core/errors.ts'
import { type Rules, RulesNotLoaded } from '../../src/rules/rules.ts'
import { action, NOON } from './build.ts'
import { rulesWorld } from './rules-world.ts'

const w = rulesWorld()
const rule = (name: string, type = 'suppress', more = '') => `  - { name: ${name}, action: { type: ${type} }${more} }\n`
const write = (path: string, ...rules: string[]) => writeFileSync(join(w.dir, path), `rules:\n${rules.join('')}`)

const names = (rules: Rules) => rules.list().map((r) => r.name)
const outcome = (rules: Rules) => rules.current().evaluate({ action: action(), now: NOON }).end

describe('loading a directory', () => {
  it('PITFALLS 4: recursively, in order of path, .yaml and .yml alone, hidden names left out', async () => {
    mkdirSync(join(w.dir, 'b'))
    mkdirSync(join(w.dir, '..data'))
    write('z.yaml', rule('z'))
    write('b/1.yml', rule('b1'))
    write('b.yaml', rule('b'))
    write('b-c.yaml', rule('bc'))
    write('a.yaml', rule('a'))
    write('..data/a.yaml', rule('a'))
    write('.draft.yaml', 'nonsense: [')
    writeFileSync(join(w.dir, 'README.md'), 'no rules')
    const rules = await w.open()
    expect(names(rules)).toEqual(['a', 'bc', 'b', 'b1', 'z'])
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
    await expect(w.open()).rejects.toThrow(RulesNotLoaded)
    await expect(w.open()).rejects.toThrow(/rules\/a\.yaml:2:[\s\S]*rules\/b\.yaml:2:/)
    await expect(w.open({ directory: join(w.root, 'nowhere') })).rejects.toThrow(
      /nowhere: error: the rules directory cannot be read: there is no such directory/,
    )
  })
  it('a directory that nobody named may be absent at the start; once there, its going away empties nothing', async () => {
    const late = join(w.root, 'late')
    const rules = await w.open({ directory: late, mayBeAbsent: true })
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
    symlinkSync('..', join(w.dir, 'round'))
    // `rules/round` is the parent, which holds `rules` again, and there the circle ends.
    expect(names(await w.open())).toEqual(['a'])
    symlinkSync('/nowhere/at/all.yaml', join(w.dir, 'gone.yaml'))
    await expect(w.open()).rejects.toThrow('rules/gone.yaml:1:1: error: cannot be read: ENOENT')
  })
  it('what is called like a rule file and is none is named, and not waited for', async () => {
    write('a.yaml', rule('a'))
    const rules = await w.open()
    symlinkSync('/dev/null', join(w.dir, 'device.yaml'))
    expect((await rules.reload()).ok).toBe(false)
    expect(rules.lastLoad.findings.map(showFinding)).toEqual(['rules/device.yaml:1:1: error: is no file'])
    expect(names(rules)).toEqual(['a'])
  })
  it('a file in another encoding is named: its letters would be others, and its conditions never hold', async () => {
    const text = `rules:\n  - { name: a, condition: { field: action.payload.room, eq: Küche }, action: { type: deny } }\n`
    writeFileSync(join(w.dir, 'a.yaml'), text, 'latin1')
    await expect(w.open()).rejects.toThrow('rules/a.yaml:2:62: error: is not UTF-8; save it in that encoding')
    writeFileSync(join(w.dir, 'a.yaml'), text)
    expect(names(await w.open())).toEqual(['a'])
  })
  it('the version changes with the files, what they take from the environment, and the switches', async () => {
    write('a.yaml', rule('a'))
    const rules = await w.open()
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
    const rules = await w.open()
    const before = rules.current()
    write('a.yaml', '  - { name: block, action: { type: deny }, priorty: 1 }\n')
    await w.env.clock.advance(1000)
    const done = await rules.reload()
    expect(done).toMatchObject({ ok: false })
    expect(rules.current()).toBe(before)
    expect(outcome(rules).kind).toBe('deny')
    expect(rules.lastLoad).toMatchObject({ ok: false, at: w.env.clock.now() })
    expect(rules.lastLoad.findings.map(showFinding)).toEqual([
      expect.stringMatching(/^rules\/a\.yaml:2:44: error: unknown key "priorty".*did you mean "priority"/),
    ])
    expect(w.env.logged.some((l) => l.level === 'error')).toBe(true)
    write('a.yaml', rule('block', 'suppress'))
    expect(await rules.reload()).toMatchObject({ ok: true })
    expect(rules.lastLoad).toMatchObject({ ok: true, findings: [] })
    expect(outcome(rules).kind).toBe('suppress')
  })
  it('a directory that is gone changes nothing either', async () => {
    write('a.yaml', rule('a', 'deny'))
    const rules = await w.open()
    rmSync(w.dir, { recursive: true })
    expect(await rules.reload()).toMatchObject({ ok: false })
    expect(outcome(rules).kind).toBe('deny')
  })
  it('files that are all removed leave no rule, with a warning', async () => {
    write('a.yaml', rule('a', 'deny'))
    const rules = await w.open()
    rmSync(join(w.dir, 'a.yaml'))
    expect(await rules.reload()).toMatchObject({ ok: true })
    expect(rules.lastLoad.findings.map(showFinding)).toEqual([
      `${w.dir}: warning: no rule is left of 1, and nothing is denied or suppressed any more: there is no .yaml or .yml file in the rules directory`,
    ])
    expect(w.env.logged.some((l) => l.level === 'warn')).toBe(true)
  })
  it('work in hand finishes on the set it began with', async () => {
    write('a.yaml', rule('a', 'deny'))
    const rules = await w.open()
    const inHand = rules.current()
    write('a.yaml', rule('a', 'suppress'))
    await rules.reload()
    expect(inHand.evaluate({ action: action(), now: NOON }).end.kind).toBe('deny')
    expect(outcome(rules).kind).toBe('suppress')
  })
  it('check compiles a text and changes nothing', async () => {
    write('a.yaml', rule('a', 'deny'))
    const rules = await w.open()
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
    await w.env.clock.advance(500)
    for (let i = 0; i < 2000 && !seen(); i++) await w.env.clock.settle()
    expect(seen()).toBe(true)
  }
  it('written in place', async () => {
    write('a.yaml', rule('a'))
    const rules = await w.open()
    write('a.yaml', rule('b'))
    await look(rules, () => names(rules).includes('b'))
  })
  it('renamed over', async () => {
    write('a.yaml', rule('a'))
    const rules = await w.open()
    write('new.tmp', rule('b'))
    renameSync(join(w.dir, 'new.tmp'), join(w.dir, 'a.yaml'))
    await look(rules, () => names(rules).join() === 'b')
  })
  it('added, and removed', async () => {
    write('a.yaml', rule('a'))
    const rules = await w.open()
    mkdirSync(join(w.dir, 'deep'))
    write('deep/b.yaml', rule('b'))
    await look(rules, () => names(rules).join() === 'a,b')
    unlinkSync(join(w.dir, 'a.yaml'))
    await look(rules, () => names(rules).join() === 'b')
  })
  it('the directory is a link, and is set to another place', async () => {
    for (const v of ['v1', 'v2']) {
      mkdirSync(join(w.root, v))
      writeFileSync(join(w.root, v, 'a.yaml'), `rules:\n${rule(v)}`)
    }
    symlinkSync('v1', join(w.root, 'current'))
    const rules = await w.open({ directory: join(w.root, 'current') })
    expect(names(rules)).toEqual(['v1'])
    symlinkSync('v2', join(w.root, 'next'))
    renameSync(join(w.root, 'next'), join(w.root, 'current'))
    await look(rules, () => names(rules).join() === 'v2')
  })
  it('files are links through a hidden folder, as mounted volumes have them, and the folder is swapped', async () => {
    for (const v of ['..v1', '..v2']) {
      mkdirSync(join(w.dir, v))
      write(`${v}/a.yaml`, rule(v.slice(2)))
    }
    symlinkSync('..v1', join(w.dir, '..data'))
    symlinkSync('..data/a.yaml', join(w.dir, 'a.yaml'))
    const rules = await w.open()
    expect(names(rules)).toEqual(['v1'])
    symlinkSync('..v2', join(w.dir, '..next'))
    renameSync(join(w.dir, '..next'), join(w.dir, '..data'))
    await look(rules, () => names(rules).join() === 'v2')
  })
  it('a bad edit is reported once, not at every look; stop ends the looking', async () => {
    write('a.yaml', rule('a'))
    const rules = await w.open()
    write('a.yaml', rule('b', 'nothing'))
    await look(rules, () => !rules.lastLoad.ok)
    const { at } = rules.lastLoad
    for (let i = 0; i < 4; i++) await w.env.clock.advance(500)
    expect(rules.lastLoad.at).toBe(at)
    rules.stop()
    await w.env.clock.advance(500)
    for (let i = 0; i < 50; i++) await w.env.clock.settle()
    expect(w.env.clock.pending).toBe(0)
  })
})

describe('PITFALLS 5: switches', () => {
  const off = { by: 'ann', why: 'too loud' }
  it('are durable: they survive a reload and a restart, and every node has them', async () => {
    write('a.yaml', rule('a', 'deny'))
    const rules = await w.open()
    const other = await w.open()
    const view = await rules.setEnabled('a', false, off)
    expect(view).toMatchObject({
      enabled: false,
      disabled_by: 'ann',
      disable_details: { why: 'too loud', at: new Date(w.env.clock.now()).toISOString() },
    })
    expect(outcome(rules).kind).toBe('deliver')
    expect(outcome(other).kind).toBe('deliver')
    write('b.yaml', rule('b', 'allow'))
    await rules.reload()
    expect(outcome(rules)).toMatchObject({ rule: 'b' })
    expect((await w.open()).get('a')).toMatchObject({ enabled: false, disabled_by: 'ann' })
    expect(await rules.setEnabled('a', true, { by: 'bob' })).not.toHaveProperty('disabled_by')
    expect(outcome(other).kind).toBe('deny')
  })
  it("win until the file's own enabled changes, and do not come back when it changes again", async () => {
    write('a.yaml', rule('a', 'deny'))
    const rules = await w.open()
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
    const rules = await w.open()
    await expect(rules.setEnabled('b', false, off)).rejects.toThrow(Problem)
    w.control.put = () => Promise.reject(new StateUnavailable('down'))
    await expect(rules.setEnabled('a', false, off)).rejects.toThrow(StateUnavailable)
    expect(rules.get('a')?.enabled).toBe(true)
  })
  it('a stored switch that cannot be read has no effect', async () => {
    write('a.yaml', rule('a', 'deny'))
    await w.control.put('a', '{"enabled":')
    expect((await w.open()).get('a')?.enabled).toBe(true)
  })
})

describe('hits', () => {
  it('are counted by name and survive a reload', async () => {
    write('a.yaml', rule('a'), rule('b'))
    const rules = await w.open()
    rules.hit(['a', 'b'], NOON)
    rules.hit(['a'], NOON + 1000)
    await rules.reload()
    expect(rules.get('a')).toMatchObject({ hits: 2, last_hit: '2026-01-05T12:00:01.000Z' })
    expect(rules.list().map((r) => r.hits)).toEqual([2, 1])
  })
})
