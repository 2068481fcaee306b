import { serialize } from 'node:v8'
import { expect, test } from 'vitest'
import { loadConfig } from '../../src/app/config/load.ts'
import { narrow } from '../../src/core/json.ts'
import { readDocument } from '../../src/rules/document.ts'

/** How V8 keeps a text: `"` before one of one byte a character, `c` before one of two. */
const width = (text: string): number => (String.fromCharCode(serialize(text)[2]!) === '"' ? 1 : 2)
const cutOut = `→ ${'name'.repeat(10)}`.slice(2)

test('the same text, in one byte a character where that is enough', () => {
  expect(width(cutOut)).toBe(2)
  expect([narrow(cutOut), width(narrow(cutOut))]).toEqual([cutOut, 1])
  for (const text of ['', 'é\u0000\u00ff', '→', '\ud800', 'a😀b']) expect(narrow(text)).toBe(text)
})

test('an arrow in a comment does not make what stands beside it wide', () => {
  const rules = '# a → b\nrules:\n  - name: a-rule-with-a-long-name\n    message: "from ${PLACE:-somewhere} → else"\n'
  const { root } = readDocument('r.yaml', rules, {}, [])
  const { name, message } = (root!.value as { rules: [{ name: string; message: string }] }).rules[0]
  expect([name, width(name), message, width(message)]).toEqual([
    'a-rule-with-a-long-name',
    1,
    'from somewhere → else',
    2,
  ])

  const { config } = loadConfig({
    cwd: '/',
    env: {},
    set: [],
    readFile(path) {
      if (path.endsWith('gateway.toml')) return '# a → b\n[[providers]]\nname = "a-long-provider-name"\ntype = "log"\n'
      throw Object.assign(new Error('absent'), { code: 'ENOENT' })
    },
  })
  expect(config?.providers.map((p) => [p.name, width(p.name)])).toEqual([['a-long-provider-name', 1]])
})
