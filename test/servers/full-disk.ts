import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A disk, to whoever runs with `env`, that is full when told so: what would make a file longer gets ENOSPC. */
export interface FullDisk {
  readonly env: { readonly [name: string]: string }
  full(is: boolean): void
  remove(): void
}

/** Whether tests that need a C compiler must be skipped: said aloud on one's own machine, a failure where a change is judged. */
export function withoutCompiler(): boolean {
  if (process.platform === 'linux' && spawnSync('cc', ['--version']).status === 0) return false
  const why = 'no C compiler, or not Linux: tests of a full disk are skipped'
  if (process.env['CI']) throw new Error(why)
  process.stderr.write(`${why}\n`)
  return true
}

/** `folder`: what is in folders of that name is a disk of its own, and the rest has room. */
export function fullDisk(folder?: string): FullDisk {
  const own = mkdtempSync(join(tmpdir(), 'signalbox-full-disk-'))
  // Servers run as another user.
  chmodSync(own, 0o755)
  const library = join(own, 'full-disk.so')
  const made = spawnSync('cc', ['-shared', '-fPIC', '-o', library, join(import.meta.dirname, 'full-disk.c'), '-ldl'], {
    encoding: 'utf8',
  })
  if (made.status !== 0) throw new Error(`cc failed: ${made.error?.message ?? made.stderr}`)
  const flag = join(own, 'full')
  return {
    env: { LD_PRELOAD: library, FULL_DISK: flag, ...(folder !== undefined && { FULL_DISK_IN: folder }) },
    full: (is) => (is ? writeFileSync(flag, '') : rmSync(flag)),
    remove: () => rmSync(own, { recursive: true }),
  }
}
