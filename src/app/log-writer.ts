import { write } from 'node:fs'
import type { Clock } from '../core/clock.ts'
import { MOST_BYTES } from '../core/utf8.ts'

/** Where log lines go: gathered, and written in blocks, because a write for each dispatch would cost more than the dispatch. */
export interface LogWriter {
  write(line: string): void
  /** Resolves when everything is written, or can not be: for the end of the process. */
  close(): Promise<void>
}

/** How long a line waits at most, milliseconds, and how many bytes wait no longer. */
const WAIT_MS = 100
const BLOCK = 65_536
/** Bytes kept while a reader is slow; beyond it lines are dropped, and counted, rather than memory. */
const MOST = 16_777_216
/** A piece of memory for lines; a line that may be longer gets one of its own. */
const ROOM = 4 * BLOCK

/**
 * A terminal takes one of these for the beginning of a command, as it does the escape that JSON writes in other words by itself. What
 * callers have sent stands in a line, inside its strings.
 */
const CONTROL = /[\x7f-\x9f]/g
const escaped = (c: string): string => `\\u00${c.charCodeAt(0).toString(16)}`
/** The first byte of the others in UTF-8, and of signs such as °. Looked for in a block, it costs next to nothing. */
const FIRST = 0xc2
const printable = (lines: Buffer): Buffer =>
  lines.includes(0x7f) || lines.includes(FIRST) ? Buffer.from(lines.toString().replace(CONTROL, escaped)) : lines

/** Each line is put into memory as it comes: joined in one text first, all of them would be copied twice, into memory that is new. */
export function logWriter(fd: number, clock: Clock): LogWriter {
  let room: Buffer = Buffer.alloc(0)
  let used = 0
  /** Full ones before that, and one to take up again. */
  let full: Buffer[] = []
  let spare: Buffer | undefined
  let held = 0
  let dropped = 0
  let writing: Promise<void> | undefined
  let waiting = false

  const put = (line: string): void => {
    const most = line.length * MOST_BYTES
    if (room.length - used < most) {
      if (used > 0) full.push(room.subarray(0, used))
      room = (most <= ROOM ? spare : undefined) ?? Buffer.allocUnsafeSlow(Math.max(ROOM, most))
      if (room === spare) spare = undefined
      used = 0
    }
    const bytes = room.write(line, used)
    used += bytes
    held += bytes
  }
  const start = (): void => {
    if (writing || held === 0) return
    if (dropped > 0) put(`{"level":40,"msg":"${dropped} log lines were dropped: their reader is too slow"}\n`)
    const blocks = [...full, room.subarray(0, used)]
    const last = room
    full = []
    room = Buffer.alloc(0)
    used = 0
    held = 0
    dropped = 0
    writing = writeAll(fd, blocks, clock).then(() => {
      if (last.length === ROOM) spare = last
      writing = undefined
      goOn()
    })
  }
  /** A block goes at once, less than that waits for more. */
  const goOn = (): void => {
    if (held >= BLOCK) start()
    else if (!waiting && held > 0) {
      waiting = true
      clock.timer(WAIT_MS, () => {
        waiting = false
        start()
      })
    }
  }
  return {
    write(line) {
      if (held > MOST) {
        dropped++
        return
      }
      put(line)
      goOn()
    },
    async close() {
      while (writing || held > 0) {
        start()
        await writing
      }
    },
  }
}

/** Resolves also when nobody reads the log any more: there is no place left to say so. */
async function writeAll(fd: number, blocks: readonly Buffer[], clock: Clock): Promise<void> {
  for (const block of blocks.map(printable))
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
