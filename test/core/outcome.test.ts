import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, it, test } from 'vitest'
import { endedStatuses } from '../../src/chains/model/run.ts'
import { auditOnlyTags, httpStatus, type Outcome, outcomeTags } from '../../src/core/outcome.ts'

const src = resolve(import.meta.dirname, '../../src')
const sources = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((f) => f.endsWith('.ts') && f !== 'core/outcome.ts')
  .map((file) => ({ file, text: readFileSync(join(src, file), 'utf8') }))

/** A value given to something called an outcome, up to the next field: a tag, or a choice of tags. What is compared is no tag. */
const GIVEN = /\b(?:outcome|auditAs|tag)\b\s*\??[:=](?!=)([^\n,;)]*)|\bendAll\(\w+, ([^)]*)\)/g
const written = sources.flatMap(({ file, text }) =>
  [...text.matchAll(GIVEN)].flatMap((m) =>
    [...(m[1] ?? m[2] ?? '').replace(/[=!]==? '\w+'/g, '').matchAll(/(?<![\w.[])'([a-z_]+)'/g)].map((w) => ({
      file,
      tag: w[1]!,
    })),
  ),
)
const closed = new Set<string>([...outcomeTags, ...auditOnlyTags])
/** What a dedup entry says while its first action is under way: answered as `first_outcome`, in no record. And a column's name. */
const NO_OUTCOME = ['pending', 'outcome']

describe('the list of outcomes is closed', () => {
  it('nothing else is written anywhere', () => {
    expect(written.length).toBeGreaterThan(30)
    expect(written.filter((w) => !closed.has(w.tag) && !NO_OUTCOME.includes(w.tag))).toEqual([])
  })

  it('each is written somewhere', () => {
    const seen = new Set([...written.map((w) => w.tag), ...endedStatuses])
    expect([...closed].filter((tag) => !seen.has(tag))).toEqual([])
  })

  it('holds the ends of chains, and no tag twice', () => {
    expect(endedStatuses.filter((s) => !closed.has(s))).toEqual([])
    expect(closed.size).toBe(outcomeTags.length + auditOnlyTags.length)
  })
})

// SPEC 1, the table of outcomes.
test.each([
  [200, ['executed', 'rerouted', 'suppressed', 'deduplicated', 'dry_run']],
  [202, ['grouped', 'scheduled', 'chain_started', 'accepted']],
  [403, ['denied']],
  [429, ['throttled', 'quota_exceeded']],
  [502, ['failed']],
  [503, ['circuit_open']],
])('%d: %j', (status, tags) => {
  for (const outcome of tags) expect(httpStatus({ outcome } as Outcome)).toBe(status)
  expect(outcomeTags.filter((outcome) => httpStatus({ outcome } as Outcome) === status).sort()).toEqual(tags.sort())
})

test('504 when it failed for want of an answer in time', () =>
  expect(httpStatus({ outcome: 'failed', timeout: true } as Outcome)).toBe(504))
