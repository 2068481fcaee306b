import { execFileSync } from 'node:child_process'
import { chmodSync, closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'

/** Median of one small write made durable, milliseconds. */
export function fsyncMs(folder: string): number {
  const file = openSync(join(folder, 'fsync'), 'w')
  const times = Array.from({ length: 200 }, () => {
    writeSync(file, 'x'.repeat(4096))
    const began = performance.now()
    fdatasyncSync(file)
    return performance.now() - began
  }).sort((a, b) => a - b)
  closeSync(file)
  return times[100]!
}

/** What a server is started with whose every fsync is to take 2 ms more; the library lies in `folder`, which other users may pass then: PostgreSQL is one. */
export function slowFsync(folder: string): { readonly LD_PRELOAD: string; readonly FSYNC_US: string } {
  chmodSync(folder, 0o711)
  const library = join(folder, 'slow-fsync.so')
  execFileSync('cc', ['-shared', '-fPIC', '-o', library, join(import.meta.dirname, 'slow-fsync.c'), '-ldl'])
  return { LD_PRELOAD: library, FSYNC_US: '2000' }
}
