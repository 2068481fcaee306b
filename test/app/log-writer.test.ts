import { execFileSync } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { logWriter } from '../../src/app/log-writer.ts'
import { fakeClock } from '../fakes/clock.ts'

const dir = mkdtempSync(join(tmpdir(), 'signalbox-log-'))
afterAll(() => rmSync(dir, { recursive: true }))

describe('log writer', () => {
  it('gathers lines, writes them in order, and leaves nothing behind at its end', async () => {
    const path = join(dir, 'a.log')
    const fd = openSync(path, 'w')
    const clock = fakeClock()
    const to = logWriter(fd, clock)
    to.write('one\n')
    expect(readFileSync(path, 'utf8')).toBe('')
    await clock.advance(100)
    await expect.poll(() => readFileSync(path, 'utf8')).toBe('one\n')
    const line = `${'x'.repeat(1000)}\n`
    for (let i = 0; i < 500; i++) to.write(line)
    to.write('last\n')
    await to.close()
    expect(readFileSync(path, 'utf8')).toBe(`one\n${line.repeat(500)}last\n`)
    closeSync(fd)
  })

  it('writes control characters as JSON has them, so that a terminal shows them and does not obey', async () => {
    const path = join(dir, 'control.log')
    const fd = openSync(path, 'w')
    const to = logWriter(fd, fakeClock())
    const said = { payload: 'a\u009b31mred\u009d0;title\u009c\x7f\x1b[0m ü €' }
    to.write(`${JSON.stringify(said)}\n`)
    await to.close()
    closeSync(fd)
    const text = readFileSync(path, 'utf8')
    expect(text).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/)
    expect(JSON.parse(text)).toEqual(said)
  })

  it('leaves each line whole, however long, and whatever is in it', async () => {
    const path = join(dir, 'long.log')
    const fd = openSync(path, 'w')
    const to = logWriter(fd, fakeClock())
    const lines = ['°', 'é€😀', 'x', '\u0085', 'y'].flatMap((c) =>
      [1, 20_000, 90_000, 300_000].map((n) => `${c.repeat(n)}\n`),
    )
    for (const line of lines) to.write(line)
    await to.close()
    closeSync(fd)
    expect(readFileSync(path, 'utf8') === lines.join('').replaceAll('\u0085', '\\u0085')).toBe(true)
  })

  it('writes a line that came while the one before waited for a slow reader, also when no other follows', async () => {
    const path = join(dir, 'pipe')
    execFileSync('mkfifo', [path])
    const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
    const full = Buffer.alloc(4096, '.')
    expect(() => {
      for (;;) writeSync(fd, full)
    }).toThrow('EAGAIN')
    const clock = fakeClock()
    const to = logWriter(fd, clock)
    to.write('one\n')
    await clock.advance(100)
    to.write('two\n')
    await clock.advance(100)
    let text = ''
    const read = async (): Promise<string> => {
      const some = Buffer.alloc(65_536)
      try {
        for (let n = 1; n > 0; ) {
          n = readSync(fd, some)
          text += some.toString('utf8', 0, n)
        }
      } catch {
        // Nothing more is there yet.
      }
      await clock.advance(20)
      return text.replaceAll('.', '')
    }
    await expect.poll(read).toBe('one\ntwo\n')
    closeSync(fd)
  })

  it('drops lines instead of memory when nothing takes them, and says how many', async () => {
    const path = join(dir, 'b.log')
    const fd = openSync(path, 'w')
    const to = logWriter(fd, fakeClock())
    const line = `${'x'.repeat(65_000)}\n`
    for (let i = 0; i < 400; i++) to.write(line)
    await to.close()
    closeSync(fd)
    const text = readFileSync(path, 'utf8')
    const kept = text.split('\n').filter((l) => l.startsWith('x')).length
    expect(kept).toBeGreaterThan(200)
    expect(kept).toBeLessThan(300)
    expect(text).toContain(`${400 - kept} log lines were dropped`)
  })
})
