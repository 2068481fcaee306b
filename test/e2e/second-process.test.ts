import { chmodSync, mkdirSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { main } from '../../src/app/cli.ts'
import { GLOBAL } from '../../src/core/action.ts'
import { systemClock } from '../../src/core/clock.ts'
import { systemRandom } from '../../src/core/ids.ts'
import { openSqlite } from '../../src/state/sqlite.ts'
import { startProxy } from '../servers/proxy.ts'
import { serve } from './gateway.ts'
import { place } from './place.ts'
import { run } from './run.ts'

/** What keeps a gateway from starting is said in one line on stderr, with exit code 1. */
const oneLine = (text: string): readonly string[] => text.trim().split('\n')

/** The command without a process of its own: each test has one that is real beside. */
async function called(
  words: readonly string[],
  cwd: string,
): Promise<{ code: number; stdout: string; stderr: string }> {
  const [out, err]: [string[], string[]] = [[], []]
  const code = await main(words, { out: (line) => out.push(line), err: (line) => err.push(line), cwd, env: {} })
  return { code, stdout: out.join('\n'), stderr: err.join('\n') }
}

test('a second process on the same data is refused, and the first goes on', async () => {
  const at = place()
  const first = await serve(at)
  const second = await run(['serve', '--port', '0'], { cwd: at.folder })
  expect(second.code).toBe(1)
  expect(oneLine(second.stderr)).toEqual([
    expect.stringMatching(/^signalbox: another process has \S+signalbox\.db open/),
  ])
  expect(second.stdout).not.toContain('Listening')
  const third = await run(['migrate'], { cwd: at.folder })
  expect([third.code, oneLine(third.stderr).length]).toEqual([1, 1])
  expect((await first.dispatch({ action_type: 'note' })).status).toBe(200)
  first.signal('SIGKILL')
  await first.ended
  // However it died, its lock died with it.
  const next = await serve(at)
  expect(await next.stop()).toBe(0)
})

test('an address that is taken', async () => {
  const first = await serve(place())
  const other = place()
  const second = await run(['serve', '--port', String(first.port)], { cwd: other.folder })
  expect(second.code).toBe(1)
  expect(oneLine(second.stderr)).toEqual([
    `signalbox: 127.0.0.1:${first.port} is taken: another process listens there; --port takes another`,
  ])
  // It let go of its data.
  const again = await serve(other)
  expect([await again.stop(), await first.stop()]).toEqual([0, 0])
})

test('a document in the store that is damaged', async () => {
  const at = place()
  const store = at.path('data/signalbox.db')
  const put = async (kind: string, value: string) => {
    const { state } = await openSqlite({ path: store, clock: systemClock(), random: systemRandom(), inThread: true })
    await state.commit(GLOBAL, [{ op: 'put', kind, id: '1:a1:b"', value, version: 'v' }])
    await state.close()
    const db = new DatabaseSync(store)
    db.prepare('DELETE FROM entry WHERE kind GLOB ? AND kind <> ?').run('control:*', kind)
    db.close()
  }
  for (const topic of ['breakers', 'chains', 'chain_switches', 'quotas', 'retention']) {
    await put(`control:${topic}`, topic === 'quotas' ? 'null' : '{"enabled":tr')
    const told = await run(['serve', '--port', '0'], { cwd: at.folder })
    expect([told.code, oneLine(told.stderr)]).toEqual([
      1,
      [
        `signalbox: what is stored of kind control:${topic} under the id "1:a1:b\\"" is no JSON object: restore an older backup, or delete this entry and make anew what it was`,
      ],
    ])
  }
})

test('data that cannot be opened: a file where a folder should be, a folder where a file should be, no database', async () => {
  const at = place({ 'plain.txt': 'x\n', 'text.db': `this is no database, ${'x'.repeat(200)}\n` })
  mkdirSync(at.path('folder.db'))
  mkdirSync(at.path('closed'))
  chmodSync(at.path('closed'), 0o500)
  const paths = ['plain.txt/signalbox.db', 'folder.db', 'text.db']
  // Nothing is closed to root.
  if (process.getuid?.() !== 0) paths.push('closed/signalbox.db')
  const refused = async (path: string): Promise<void> => {
    const ended = await run(['serve', '--port', '0', '--set', `state.path=${path}`], { cwd: at.folder })
    expect([path, ended.code, oneLine(ended.stderr)]).toEqual([
      path,
      1,
      [expect.stringMatching(new RegExp(`^signalbox: cannot open \\S+${path.replaceAll('.', '\\.')}: .+`))],
    ])
  }
  await Promise.all(paths.map(refused))
})

test('a broken configuration and broken rules: file, line, column and the nearest word, exit 1', async () => {
  const at = place({ 'gateway.toml': '[server]\nprot = 8081\n\n[[providers]]\nname = "out"\ntype = "lgo"\n' })
  const config = await called(['serve', '--port', '0'], at.folder)
  expect(config.code).toBe(1)
  expect(oneLine(config.stderr)).toEqual([
    expect.stringMatching(/^gateway\.toml:2:1: error: .*prot.*port/),
    expect.stringMatching(/^gateway\.toml:6:8: error: .*lgo.*log/),
  ])
  const rules = place({ 'rules/a.yaml': 'rules:\n  - name: a\n    action: { type: reroute, target_provider: ot }\n' })
  const loaded = await run(['serve', '--port', '0'], { cwd: rules.folder })
  expect(loaded.code).toBe(1)
  expect(oneLine(loaded.stderr)).toEqual([expect.stringMatching(/a\.yaml:3:\d+: error: .*"ot".*"out"/)])
  const absent = await called(['serve', '-c', 'nowhere.toml'], rules.folder)
  expect([absent.code, oneLine(absent.stderr).length]).toEqual([1, 1])
  expect(absent.stderr).toMatch(/^nowhere\.toml: error: cannot read/)
})

test('a store that cannot be used: one line, whatever it is', async () => {
  const at = place()
  // Nobody listens on the port of a proxy that has gone.
  const gone = await startProxy({ port: 1 })
  await gone.close()
  const { port } = gone
  const settings = (backend: string, url: string): readonly string[] => [
    ...[`backend=${backend}`, `url=${url}`].flatMap((s) => ['--set', `state.${s}`]),
    ...(backend === 'redis' ? ['--set', 'audit.backend=sqlite', '--set', 'audit.per_node=true'] : []),
  ]
  // What `serve` says is what `migrate` says, which opens the store in the same way.
  const refused = async (why: RegExp, backend: string, url: string): Promise<void> => {
    const ended = await called(['migrate', ...settings(backend, url)], at.folder)
    expect([ended.code, ended.stdout, oneLine(ended.stderr)]).toEqual([1, '', [expect.stringMatching(why)]])
  }
  const served = run(['serve', '--port', '0', ...settings('postgres', `postgres://a:b@127.0.0.1:${port}/c`)], {
    cwd: at.folder,
  })
  await Promise.all([
    refused(
      /^signalbox migrate: PostgreSQL is not reached: .*ECONNREFUSED/,
      'postgres',
      `postgres://a:b@127.0.0.1:${port}/c`,
    ),
    refused(/^signalbox migrate: the url is none of PostgreSQL: /, 'postgres', 'redis://127.0.0.1'),
    refused(
      /^signalbox migrate: cannot use Redis at 127\.0\.0\.1:\d+: ECONNREFUSED/,
      'redis',
      `redis://127.0.0.1:${port}`,
    ),
    refused(/^signalbox migrate: \[state\]\.url is no address of a Redis: /, 'redis', '127.0.0.1'),
    refused(/^signalbox migrate: DynamoDB does not do it: .*ECONNREFUSED/, 'dynamodb', `http://127.0.0.1:${port}`),
    refused(/^signalbox migrate: state\.url is no address of a DynamoDB: /, 'dynamodb', '127.0.0.1:8000'),
  ])
  const ended = await served
  expect([ended.code, oneLine(ended.stderr)]).toEqual([
    1,
    [expect.stringMatching(/^signalbox: PostgreSQL is not reached: .*ECONNREFUSED/)],
  ])
  expect(ended.stdout).not.toContain('Listening')
})

test('`signalbox check` says the same without starting anything', async () => {
  const good = place()
  const fine = await run(['check'], { cwd: good.folder })
  expect([fine.code, fine.stdout.trim()]).toEqual([0, 'ok: 1 provider, 0 rules, 0 chains'])
  good.write('rules/bad.yaml', 'rules:\n  - name: a\n    conditon: {}\n    action: { type: allow }\n')
  const bad = await called(['check'], good.folder)
  expect(bad.code).toBe(1)
  expect(bad.stdout).toMatch(/bad\.yaml:3:5: error: .*conditon.*condition/)
  expect(bad.stderr.trim()).toBe('not ok: 1 error, 0 warnings')
})
