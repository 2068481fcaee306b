import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { actionFields } from '../../src/core/action.ts'
import { auditOnlyTags, httpStatus, type Outcome, outcomeTags } from '../../src/core/outcome.ts'
import { routes } from '../../src/http/routes/index.ts'
import { quotaSchema } from '../../src/quotas/quota.ts'
import { retentionSchema } from '../../src/retention/policy.ts'
import { recurringSchema } from '../../src/schedules/recurring-body.ts'
import { codes, root, section, table } from './markdown.ts'

/** The reference of the API against routes, outcomes and every problem the sources can throw. */

const page = 'docs/api.md'

const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((f) => f.endsWith('.ts'))
  .map((f) => readFileSync(join(root, 'src', f), 'utf8'))

/** `code status` of every problem that is written as a literal, and of the bodies that are read by a schema. */
function problemsInCode(): readonly string[] {
  const found = new Set<string>()
  for (const text of sources) {
    for (const m of text.matchAll(/new Problem\(\s*(\d{3}),\s*'(\w+)'/g)) found.add(`${m[2]} ${m[1]}`)
    for (const m of text.matchAll(/\b(?:parseWire\(.*, |invalid\()'(\w+)'/g)) found.add(`invalid_${m[1]} 400`)
  }
  return [...found].toSorted()
}

describe('docs/api.md', () => {
  it('says every route', () => {
    const said = table(page, 'Routes', 'Route').map(([route = '', doc]) => [codes(route)[0], doc])
    expect(said).toEqual(routes.map((r) => [`${r.method} ${r.path}`, r.doc]))
  })

  it('says every outcome with its HTTP status', () => {
    const said = table(page, 'Outcomes', 'Outcome', 'HTTP').map(([tag = '', status]) => [codes(tag)[0], status])
    const of = (tag: string) => httpStatus({ outcome: tag } as Outcome) // only the tag is looked at
    expect(said).toEqual(outcomeTags.map((tag) => [tag, String(of(tag))]))
    expect(section(page, 'Outcomes')).toContain('504 on a timeout')
    expect(httpStatus({ outcome: 'failed', timeout: true } as Outcome)).toBe(504) // the same
  })

  it('says what stands in the audit alone', () => {
    const sentence = /The audit has these beside: .*/.exec(section(page, 'Outcomes'))![0]
    expect(codes(sentence).toSorted()).toEqual([...auditOnlyTags].toSorted())
  })

  it('says every problem with its status, and none that no line of the sources throws', () => {
    const said = table(page, 'Problems', 'Code', 'Status').map(([code = '', status]) => `${codes(code)[0]} ${status}`)
    expect(said.toSorted()).toEqual(problemsInCode())
  })

  it('says every field of an action, and of what the API makes', () => {
    const fields = (heading: string | undefined, head: string) =>
      table(page, heading, head)
        .map(([f = '']) => codes(f)[0])
        .toSorted()
    expect(fields('An action', 'Field')).toEqual([...actionFields].toSorted())
    expect(fields('Quotas', 'Field of a quota')).toEqual(Object.keys(quotaSchema.shape).toSorted())
    expect(fields('Recurring actions', 'Field of a recurring action')).toEqual(
      Object.keys(recurringSchema.shape).toSorted(),
    )
    expect(fields('Retention', 'Field of a retention policy')).toEqual(Object.keys(retentionSchema.shape).toSorted())
  })

  it('names no route outside its table that is not there', () => {
    const known = routes.map((r) => `${r.method} ${r.path}`)
    const named = codes(section(page, undefined)).filter((c) => /^(GET|POST|PUT|DELETE) \//.test(c))
    expect(named.filter((n) => !known.includes(n.replace(/\?.*/, '')))).toEqual([])
  })
})
