import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { statSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { describe, expect, it } from 'vitest'
import { auditStore } from '../../src/audit/scan.ts'
import { systemClock } from '../../src/core/clock.ts'
import { seededRandom, systemRandom } from '../../src/core/ids.ts'
import type { StateStore } from '../../src/core/state.ts'
import { openSqlite } from '../../src/state/sqlite.ts'
import { folder } from './folder.ts'

const file = folder()
const scope = ['crash', 'test'] as const
const CHILD = new URL('./crash-child.ts', import.meta.url).pathname

/** Runs the committer and kills it some moments after an acknowledgement by which it is far enough; answers what it had acknowledged. */
async function runAndKill(
  path: string,
  prefix: string,
  characters: number,
  afterMs: number,
  farEnough: () => boolean,
): Promise<string[]> {
  const child = spawn(process.execPath, [CHILD, path, prefix, String(characters)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const acknowledged: string[] = []
  const lines = createInterface({ input: child.stdout })
  let killing = false
  lines.on('line', (line) => {
    acknowledged.push(line)
    if (killing || !farEnough()) return
    killing = true
    setTimeout(() => child.kill('SIGKILL'), afterMs)
  })
  const [, signal] = await once(child, 'exit')
  expect(signal).toBe('SIGKILL')
  return acknowledged
}

async function all(state: StateStore, kind: string): Promise<{ id: string; value: string }[]> {
  const found: { id: string; value: string }[] = []
  for (let after: string | undefined, more = true; more; ) {
    const page = await state.list(kind, scope, { limit: 1000, ...(after === undefined ? {} : { after }) })
    found.push(...page.entries.map((e) => ({ id: e.key.id, value: e.value })))
    after = page.next
    more = after !== undefined
  }
  return found
}

describe('kill -9', () => {
  it.each([
    ['', 0],
    [', also while the log is copied back', 20_000],
  ])(
    'PITFALLS 54, 63, 76: every acknowledged commit is there, whole, with its audit record and its buffer item%s',
    async (_, characters) => {
      const path = file(`crash-${characters}.db`)
      const random = seededRandom(9)
      const acknowledged: string[] = []
      const size = (): number => statSync(path).size
      for (let round = 0; round < 4; round++) {
        // While it is written to, the file itself grows by what is copied only.
        const before = round === 0 ? 0 : size()
        const farEnough = () => characters === 0 || size() > before + 2_000_000
        const afterMs = Math.floor(random.float() * 150)
        acknowledged.push(...(await runAndKill(path, `r${round}`, characters, afterMs, farEnough)))
      }
      expect(acknowledged.length).toBeGreaterThan(100)

      const { state, audit } = await openSqlite({ path, clock: systemClock(), random: systemRandom() })
      const work = (await all(state, 'work')).map((e) => e.id)
      const there = new Set(work)
      expect(acknowledged.filter((id) => !there.has(id))).toEqual([])

      // What was not acknowledged is there whole or not at all.
      const [counter] = await state.peek('count', scope, ['n'])
      expect(counter?.n).toBe(work.length)
      expect((await state.peek('admit', scope, ['w']))[0]?.n).toBe(work.length)
      const flushed = (await all(state, 'flush')).flatMap(
        (e) => (JSON.parse(e.value) as { items: { itemId: string }[] }).items,
      )
      const buffers = Array.from({ length: 16 }, (_, i) => `buffer ${i}`)
      const open = (await state.peek('buffer', scope, buffers)).flatMap((b) => b?.items ?? [])
      expect([...flushed, ...open].map((i) => i.itemId).sort()).toEqual([...work].sort())
      const recorded: string[] = []
      const records = auditStore(audit)
      for (let cursor: string | undefined, more = true; more; ) {
        const page = await records.query(scope, {}, { limit: 1000, ...(cursor === undefined ? {} : { cursor }) })
        recorded.push(...page.records.map((r) => r.action_id))
        cursor = page.nextCursor
        more = cursor !== undefined
      }
      expect(recorded.sort()).toEqual([...work].sort())
      await state.close()
    },
  )
})
