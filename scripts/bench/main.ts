import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { benchBackends } from './backends/part.ts'
import { LOAD_CORE, type Part } from './bench.ts'
import { benchChains } from './chains/part.ts'
import { benchDispatch } from './dispatch/part.ts'
import { fsyncMs } from './fsync.ts'

/**
 * npm run bench: every server with fsync on, pinned to one core, the load from a process on the other; all in one run, so that the
 * ratios hold on a noisy machine. `-- dispatch`, `-- chains` or `-- backends` does one part, `-- --seconds N` measures longer, `-- --quick` does
 * less of everything.
 */
const parts: { readonly [name: string]: Part } = {
  dispatch: benchDispatch,
  chains: benchChains,
  backends: benchBackends,
}

const USAGE = `npm run bench -- [${Object.keys(parts).join('|')}] [--quick] [--seconds N]`
const asked: string[] = []
let quick = false
let seconds: number | undefined
for (const args = process.argv.slice(2); args.length > 0; ) {
  const arg = args.shift()!
  if (arg === '--quick') quick = true
  else if (arg === '--seconds') seconds = Number(args.shift())
  else if (Object.hasOwn(parts, arg)) asked.push(arg)
  else usage(`what is "${arg}"?`)
}
seconds ??= quick ? 2 : 3
if (!(seconds > 0 && seconds <= 60)) usage('--seconds takes a number, at most 60')

function usage(why: string): never {
  process.stderr.write(`${why}\n${USAGE}\n`)
  process.exit(2)
}

// What it does itself must not use the servers' core.
execFileSync('taskset', ['-a', '-c', '-p', String(LOAD_CORE), String(process.pid)])
const work = mkdtempSync(join(tmpdir(), 'signalbox-bench-'))
const log = openSync(join(work, 'server.log'), 'w')
try {
  console.log(
    `fdatasync of 4 KiB: ${fsyncMs(work).toFixed(3)} ms (median). Node ${process.version}, ${cpus().length} cores.`,
  )
  for (const [name, part] of Object.entries(parts))
    if (asked.length === 0 || asked.includes(name)) await part({ seconds, quick, work, log })
} finally {
  closeSync(log)
  rmSync(work, { recursive: true, force: true })
}
