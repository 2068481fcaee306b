import { readdirSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { ruleActions } from '../../src/rules/actions/index.ts'
import { compiled, findings, fixture } from './build.ts'

const files = readdirSync(new URL('../fixtures/rules/good', import.meta.url)).filter((f) => f.endsWith('.yaml'))

describe('good rule files', () => {
  it.each(files)('%s loads without a finding', (file) => {
    expect(findings(fixture(`good/${file}`))).toEqual([])
  })
  it('between them they use every rule action', () => {
    const used = new Set(files.flatMap((f) => compiled(fixture(`good/${f}`)).map((r) => r.type)))
    expect([...used].sort()).toEqual(ruleActions.map((a) => a.type).sort())
  })
})
