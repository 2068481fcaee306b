/**
 * `npm run example [-- NAME] [--state STORE]`: runs an example and prints what was expected beside what was seen. Exits 1 where they
 * differ. Without a name it is the pipeline; without a store each is as its files have it.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { endAll } from './children.ts'
import { type Row, table } from './table.ts'

/** A folder of `examples/` and the module that plays it. `folder`: for what it stores. */
interface Example {
  readonly run: (folder: string, state?: string) => Promise<readonly Row[]>
}
/** Read when it is the one: the pipeline's brings half of AWS along. */
const examples: { readonly [name: string]: () => Promise<Example> } = {
  'aws-event-pipeline': () => import('./aws-event-pipeline/run.ts'),
  'order-saga': () => import('./order-saga/run.ts'),
  recipes: () => import('./recipes/run.ts'),
}
const LIMIT_MS = 240_000

const STORES = ['dynamodb', 'postgres', 'redis', 'sqlite']
const { name, state } = asked()
const load = examples[name]!

function asked(): { readonly name: string; readonly state: string | undefined } {
  try {
    const options = { state: { type: 'string' } } as const
    const { values, positionals } = parseArgs({ allowPositionals: true, options })
    const [wanted = 'aws-event-pipeline', ...more] = positionals
    const known = values.state === undefined || (STORES.includes(values.state) && wanted === 'aws-event-pipeline')
    if (Object.hasOwn(examples, wanted) && more.length === 0 && known) return { name: wanted, state: values.state }
  } catch {
    // What it cannot read is answered with how it is used.
  }
  const names = Object.keys(examples).join(', ')
  console.error(`usage: npm run example [-- NAME], NAME being one of: ${names}`)
  console.error(`       npm run example -- --state STORE, the pipeline on one of: ${STORES.join(', ')}`)
  process.exit(2)
}

const folder = await mkdtemp(join(tmpdir(), 'signalbox-example-'))
let ending: Promise<never> | undefined
/** Everything started is ended, and everything written removed, before the process goes. */
const end = (code: number): Promise<never> => {
  ending ??= endAll()
    .then(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }))
    .then(() => process.exit(code))
  return ending
}
const stop = (why: string) => {
  console.error(`\nstopped: ${why}`)
  void end(1)
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop(signal))
setTimeout(() => stop(`not done after ${LIMIT_MS / 1000} s`), LIMIT_MS).unref()
// A signal to npm ends npm and its shell, which pass nothing on: without this we would stay behind.
const parent = process.ppid
if (process.env.npm_lifecycle_event) setInterval(() => process.ppid !== parent && stop('npm is gone'), 250).unref()

const began = Date.now()
try {
  const rows = await (await load()).run(folder, state)
  const wrong = rows.filter((r) => !r.ok).length
  const seconds = Math.round((Date.now() - began) / 1000)
  console.log(`\n${table(rows)}\n\n${rows.length - wrong} of ${rows.length} as expected, in ${seconds} s`)
  await end(wrong === 0 ? 0 : 1)
} catch (error) {
  // Whatever fails once we are ending, fails because its processes are gone.
  if (!ending) console.error(error)
  await end(1)
}
