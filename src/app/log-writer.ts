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

/**
 * A terminal takes one of these for the beginning of a command, as it does the escape that JSON writes in other words by itself. What
 * callers have sent stands in a line, inside its strings.
 */
const CONTROL = /[\x7f-\x9f]/g
const escaped = (c: string): string => `\\u00${c.charCodeAt(0).toString(16)}`
/** The first byte of the others in UTF-8, and of signs such as °. Looked for in a block, it costs next to nothing. */
const FIRST = 0xc2
function printable(lines: string): Buffer {
  const block = Buffer.from(lines)
  return block.includes(0x7f) || block.includes(FIRST) ? Buffer.from(lines.replace(CONTROL, escaped)) : block
}

export function logWriter(fd: number, clock: Clock): LogWriter {
  let lines = ''
  let dropped = 0
  let writing: Promise<void> | undefined
  let waiting = false

  const take = (): Buffer => {
    if (dropped > 0) lines += `{"level":40,"msg":"${dropped} log lines were dropped: their reader is too slow"}\n`
    const block = printable(lines)
    lines = ''
    dropped = 0
    return block
  }
  const start = (): void => {
    if (writing || lines === '') return
    writing = writeAll(fd, take(), clock).then(() => {
      writing = undefined
      goOn()
    })
  }
  /** A block goes at once, less than that waits for more. */
  const goOn = (): void => {
    if (lines.length >= BLOCK) start()
    else if (!waiting && lines !== '') {
      waiting = true
      clock.timer(WAIT_MS, () => {
        waiting = false
        start()
      })
    }
  }
  return {
    write(line) {
      if (lines.length > MOST) {
        dropped++
        return
      }
      lines += line
      goOn()
    },
    async close() {
      while (writing || lines !== '') {
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
