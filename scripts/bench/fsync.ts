import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs'
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
