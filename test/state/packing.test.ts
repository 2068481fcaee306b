import { expect, test } from 'vitest'
import type { Op, OpResult } from '../../src/core/state.ts'
import type { Answer } from '../../src/state/batching.ts'
import { answersPacker, answersUnpacker } from '../../src/state/sqlite/answers.ts'
import { writesPacker, writesUnpacker } from '../../src/state/sqlite/codec.ts'
import type { Write } from '../../src/state/sqlite/engine.ts'

type OpOf<K extends Op['op']> = Extract<Op, { op: K }>
/** Every field an op can have; one that is added and not written here does not compile. */
const whole: { readonly [K in Op['op']]: Required<OpOf<K>> } = {
  put: {
    op: 'put',
    kind: 'hold',
    id: 'ä:1',
    value: '{"a":"→"}',
    version: 'v1',
    tags: ['x', '', 'z'],
    claim: { owner: 'me', until: 5 },
    dueAt: 0,
    expiresAt: 1.5,
    attempts: 3,
    ifVersion: 'v0',
    ifClaim: { owner: '', number: 9 },
    ifUnclaimed: true,
    orSkip: true,
  },
  touch: { op: 'touch', kind: 'k', id: '', ifClaim: { owner: 'o', number: 2 }, until: 7, dueAt: -1 },
  delete: {
    op: 'delete',
    kind: 'k',
    id: 'i',
    ifVersion: '',
    ifClaim: { owner: 'o', number: 1 },
    ifUnclaimed: false,
    orSkip: true,
  },
  wake: { op: 'wake', kind: 'k', id: 'i' },
  count: { op: 'count', id: 'c', by: -2, limit: 10, expiresAt: 1e13 },
  admit: { op: 'admit', id: 'w', max: 3, windowMs: 60_000 },
  append: {
    op: 'append',
    id: 'b',
    itemId: 'n',
    item: '{}',
    value: 'v',
    maxItems: 5,
    maxBytes: 6,
    waitMs: 7,
    intervalMs: 8,
    into: { kind: 'flush', idPrefix: 'p:', tags: ['t'] },
  },
  seal: { op: 'seal', id: 'b', into: { kind: 'flush', idPrefix: '' }, ifDue: true, dueAt: 7 },
  slot: { op: 'slot', id: 's', holder: 'h', max: 1, until: 0 },
  record: {
    op: 'record',
    row: {
      id: 'r',
      scope: ['n', 't'],
      actionId: 'a',
      chainId: 'c',
      json: '{"id":"r"}',
      kind: 'dispatch',
      outcome: 'executed',
      provider: undefined,
      requestedProvider: undefined,
      actionType: 'x',
      rule: undefined,
      caller: undefined,
    },
  },
}
const kept = (op: Op): Op => {
  if (op.op !== 'record') return op
  const { id, scope, actionId, chainId, json } = op.row
  return { op: 'record', row: { id, scope, actionId, chainId, json } as typeof op.row }
}
const commit = (ops: readonly Op[], dry = false): Write => ['commit', '1:n1:t', ops, dry]
const there = (batch: readonly Write[]): readonly Write[] => writesUnpacker()(writesPacker()(4, batch))[1]

test('every field of every op arrives as it was', () => {
  const ops = Object.values(whole)
  expect(there([commit(ops), commit([], true)])).toEqual([commit(ops.map(kept)), commit([], true)])
})

test('what is left out arrives as left out, and null as null', () => {
  const bare: readonly Op[] = [
    { op: 'put', kind: 'k', id: 'i', value: '', version: 'v', ifVersion: null },
    { op: 'put', kind: 'k', id: 'i', value: '', version: 'v', tags: [] },
    { op: 'delete', kind: 'k', id: 'i' },
    { op: 'count', id: 'c', by: 0, expiresAt: 1 },
    { op: 'seal', id: 'b', into: { kind: 'f', idPrefix: 'p' } },
  ]
  expect(there([commit(bare)])).toEqual([commit(bare)])
})

test('what comes again, and what comes between, arrives in every place and batch', () => {
  const pack = writesPacker()
  const unpack = writesUnpacker()
  const count = (id: string): Op => ({ op: 'count', id, by: 1, expiresAt: 1 })
  const admit = (id: string): Op => ({ op: 'admit', id, max: 1, windowMs: 1 })
  const wake = (kind: string): Op => ({ op: 'wake', kind, id: 'i' })
  const ops = ['a', 'a', '', 'b', 'a'].flatMap((t) => [count(t), admit(t), wake(t), admit(t), kept(whole.record)])
  const batch: readonly Write[] = ['s', 's', 't', 's'].map((scope) => ['commit', scope, ops, false])
  for (let round = 0; round < 2; round++) expect(unpack(pack(round, batch))).toEqual([round, batch])
})

test('what is no commit travels between commits', () => {
  const batch: readonly Write[] = [
    commit([whole.wake]),
    ['claim', { kind: 'hold', owner: 'me', limit: 3, leaseMs: 10 }],
    ['purge', '1:n1:t', { below: 'b', completedBefore: 'c' }, 5],
    commit([whole.admit]),
  ]
  expect(there(batch)).toEqual(batch)
})

test('records from elsewhere arrive with what is kept of them', () => {
  const { row } = whole.record
  const rows = [
    row,
    { ...row, chainId: undefined, id: 'é', json: `{"x":"${'→'.repeat(300)}"}` },
    { ...row, actionId: '\ud800' },
  ]
  const json = (text: string) => (text.length < 200 ? text : new Uint8Array(Buffer.from(text)))
  const kept = rows.map((r) => ({
    id: r.id,
    scope: r.scope,
    actionId: r.actionId,
    chainId: r.chainId,
    json: json(r.json),
  }))
  const [first, second, third] = there([['append', rows], commit([whole.wake]), ['append', []]])
  expect([first?.[0], second, third]).toEqual(['append', commit([whole.wake]), ['append', []]])
  const arrived = (first as Extract<Write, readonly ['append', ...unknown[]]>)[1]
  const plain = (text: string | Uint8Array) => (typeof text === 'string' ? text : new Uint8Array(text))
  expect(arrived.map((r) => ({ ...r, json: plain(r.json) }))).toEqual(kept)
})

test('lone surrogates and every plane arrive as they are', () => {
  for (const id of ['\ud800', 'a\udfffb', '🙂', 'é', '\u0000'])
    expect(there([commit([{ op: 'wake', kind: 'k', id }, whole.count])])).toEqual([
      commit([{ op: 'wake', kind: 'k', id }, whole.count]),
    ])
})

test('one memory serves batch after batch; one that is too large for it has its own, and the next the common one again', () => {
  const pack = writesPacker()
  const unpack = writesUnpacker()
  const put = (value: string): readonly Write[] => [commit([{ op: 'put', kind: 'k', id: 'i', value, version: 'v' }])]
  const sent = ['small', 'x'.repeat(5_000_000), 'again', 'and again'].map((value) => {
    const packed = pack(1, put(value))
    expect(unpack(packed)).toEqual([1, put(value)])
    return packed.longIn
  })
  expect(sent.map((memory) => memory !== undefined)).toEqual([true, true, true, false])
  expect(sent[2]).toBe(sent[0])
  expect(sent[1]).not.toBe(sent[0])
})

test('long texts arrive as they are, between short ones, and where there is no more room beside them', () => {
  const pack = writesPacker()
  const unpack = writesUnpacker()
  const long = ['a', 'é', '→', '🙂', '\ud800'].map((c) => c.repeat(300))
  const ops = [...long, 'short', '→', 'x'.repeat(1_000_000), 'y'.repeat(1_000_000), 'z'.repeat(200)].flatMap(
    (t): readonly Op[] => [
      { op: 'put', kind: 'k', id: t, value: t, version: 'v', tags: [t], ifVersion: t },
      { op: 'count', id: t, by: 1, expiresAt: 1 },
      { op: 'count', id: t, by: 1, expiresAt: 1 },
    ],
  )
  for (let round = 0; round < 2; round++) expect(unpack(pack(round, [commit(ops)]))).toEqual([round, [commit(ops)]])
})

test('a long record crosses as its UTF-8', () => {
  for (const payload of ['x'.repeat(300), '→'.repeat(300)]) {
    const json = JSON.stringify({ id: 'r', payload })
    const [, [call]] = writesUnpacker()(
      writesPacker()(1, [commit([{ op: 'record', row: { ...whole.record.row, json } }])]),
    )
    const [op] = (call as Extract<Write, readonly ['commit', ...unknown[]]>)[2]
    expect(Buffer.from((op as OpOf<'record'>).row.json as unknown as Uint8Array).toString()).toBe(json)
  }
})

test('a batch that cannot be packed leaves nothing in the next', () => {
  const pack = writesPacker()
  const circle: unknown[] = []
  circle.push(circle)
  expect(() => pack(1, [commit([whole.wake]), ['claim', circle as never]])).toThrow('circular')
  expect(writesUnpacker()(pack(2, [commit([whole.admit])]))).toEqual([2, [commit([whole.admit])]])
})

test('answers arrive as they were given: what stands, what refused, what failed', () => {
  const every: Required<OpResult> = { n: 0, dueAt: 5, claimNumber: 6, sealed: ['→'], skipped: true }
  const results: readonly OpResult[] = [
    {},
    every,
    { n: 3 },
    { n: 0, dueAt: 1 },
    { claimNumber: 7 },
    { skipped: true },
    { n: 2, sealed: [] },
  ]
  const answers: readonly Answer[] = [
    [0, { ok: true, results }],
    [0, { ok: true, results: [] }],
    [0, { ok: false, at: 2, n: 5, retryAt: 9 }],
    [1, 'not done'],
    [2, 'perhaps'],
    [0, 17],
    [0, []],
  ]
  expect(answersUnpacker()(answersPacker()(answers))).toEqual(answers)
})

test('each memory grows as often as a batch needs, and what was in it stays', () => {
  const pack = writesPacker()
  const unpack = writesUnpacker()
  const wakes = (n: number, id: string): Op[] =>
    Array.from({ length: n }, (_, i) => ({ op: 'wake', kind: `k${i % 2}`, id: `${i}${id}` }))
  const batches = [
    wakes(180_000, ''),
    wakes(14_000, 'ä'.repeat(180)),
    [...wakes(9_000, 'a'.repeat(500)), ...wakes(2, '\ud800')],
    wakes(3, 'x'),
  ]
  for (const ops of [...batches, batches[1]!]) {
    const [, [call]] = unpack(pack(1, [commit(ops)]))
    // Compared by hand: a difference among so many would be told for minutes.
    const arrived = (call as Extract<Write, readonly ['commit', ...unknown[]]>)[2] as readonly OpOf<'wake'>[]
    expect(arrived).toHaveLength(ops.length)
    expect(ops.findIndex((op, i) => op.op !== 'wake' || op.id !== arrived[i]?.id || op.kind !== arrived[i].kind)).toBe(
      -1,
    )
  }
})
