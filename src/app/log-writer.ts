import { write } from 'node:fs'
import type { Clock } from '../core/clock.ts'

/** Where log lines go: gathered, and written in blocks, because a write for each dispatch would cost more than the dispatch. */
export interface LogWriter {
  write(line: string): void
  /** Resolves when everything is written, or can not be: for the end of the process. */
  close(): Promise<void>
}

/** How long a line waits at most, milliseconds, and how many characters make a block that waits no longer. */
const WAIT_MS = 100
const BLOCK = 65_536
/** Characters kept while a reader is slow; beyond it lines are dropped, and counted, rather than memory. */
const MOST = 16_777_216

export function logWriter(fd: number, clock: Clock): LogWriter {
  let lines: string[] = []
  let size = 0
  let dropped = 0
  let writing: Promise<void> | undefined
  let waiting = false

  const take = (): Buffer => {
    if (dropped > 0) lines.push(`{"level":40,"msg":"${dropped} log lines were dropped: their reader is too slow"}\n`)
    const block = Buffer.from(lines.join(''))
    lines = []
    size = 0
    dropped = 0
    return block
  }
  const start = (): void => {
    if (writing || lines.length === 0) return
    writing = writeAll(fd, take(), clock).then(() => {
      writing = undefined
      if (size >= BLOCK) start()
    })
  }
  return {
    write(line) {
      if (size > MOST) {
        dropped++
        return
      }
      lines.push(line)
      size += line.length
      if (size >= BLOCK) start()
      else if (!waiting) {
        waiting = true
        clock.timer(WAIT_MS, () => {
          waiting = false
          start()
        })
      }
    },
    async close() {
      while (writing || lines.length > 0) {
        start()
        await writing
      }
    },
  }
}

/** Resolves also when nobody reads the log any more: there is no place left to say so. */
async function writeAll(fd: number, block: Buffer, clock: Clock): Promise<void> {
  for (let at = 0; at < block.length; ) {
    const wrote = await new Promise<number>((resolve) => {
      write(fd, block, at, block.length - at, null, (e, n) => resolve(!e ? n : e.code === 'EAGAIN' ? 0 : -1))
    })
    if (wrote < 0) return
    // A pipe whose reader is behind.
    if (wrote === 0) await clock.sleep(10)
    at += wrote
  }
}
