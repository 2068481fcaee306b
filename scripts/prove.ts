/**
 * npm run prove -- [redis|postgres|dynamodb]… [--seconds N] [--seed N] [--together]: several gateways on one store while they are
 * killed and paused and their ways to the store fail, for a minute or as long as is asked for.
 */
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

const root = resolve(import.meta.dirname, '..')
const folder = 'test/e2e/cluster'
const stores = readdirSync(join(root, folder)).flatMap((f) => (f.endsWith('.test.ts') ? [f.slice(0, -8)] : []))
const usage = (why: string): never => {
  console.error(`${why}\nnpm run prove -- [${stores.join('|')}]… [--seconds N] [--seed N] [--together]`)
  process.exit(2)
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string' }, together: { type: 'boolean' } },
})
const unknown = positionals.find((p) => !stores.includes(p))
if (unknown !== undefined) usage(`what is "${unknown}"?`)
const seconds = Number(values.seconds)
if (!(seconds > 0 && seconds <= 3600)) usage('--seconds takes a number, at most 3600')

// One after another, as each is to have the machine for itself; a short run is mostly waiting, for leases that run out.
const asked = (positionals.length > 0 ? positionals : stores).map((s) => `${folder}/${s}.test.ts`)
const child = spawn(
  process.execPath,
  [
    join(root, 'node_modules/vitest/vitest.mjs'),
    'run',
    '--mode=proof',
    `--maxWorkers=${values.together ? asked.length : 1}`,
    ...asked,
  ],
  {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, CLUSTER_SECONDS: String(seconds), ...(values.seed !== undefined && { SEED: values.seed }) },
  },
)
child.on('exit', (code) => process.exit(code ?? 1))
