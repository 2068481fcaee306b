import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { routes } from '../../src/http/routes/index.ts'
import { codes, root } from '../docs/markdown.ts'

/** What the pages of the examples name is there: files, scripts, addresses, steps, rules and variables. */

const examples = join(root, 'examples')
const pages = readdirSync(examples, { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('README.md'))
const packageJson = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: object } // our own file

/** The words of the configuration and the rules beside a page. */
function wordsBeside(page: string): string {
  const folder = dirname(join(examples, page))
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((f) => /\.(toml|yaml|sh|mjs|py)$/.test(f) && !f.startsWith('data'))
    .map((f) => readFileSync(join(folder, f), 'utf8'))
    .join('\n')
}

it('each folder of examples has one', () => {
  const folders = readdirSync(examples, { withFileTypes: true }).filter((f) => f.isDirectory())
  expect(folders.filter((f) => !pages.includes(join(f.name, 'README.md'))).map((f) => f.name)).toEqual([])
})

describe.each(pages)('examples/%s', (page) => {
  const text = readFileSync(join(examples, page), 'utf8')

  it('has links that lead somewhere', () => {
    const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map((m) => m[1]!).filter((to) => !/^https?:/.test(to))
    expect(links.filter((to) => !existsSync(resolve(examples, dirname(page), to.replace(/#.*/, ''))))).toEqual([])
  })

  it('shows requests that are JSON', () => {
    for (const m of text.matchAll(/(?:-d|^dispatch) '(\{[^']*\})'/gm))
      expect(() => JSON.parse(m[1]!), m[1]).not.toThrow()
  })

  it('names npm scripts, files and addresses that are there', () => {
    const scripts = [...text.matchAll(/npm run ([a-z-]+)/g)].map((m) => m[1]!)
    expect(scripts.filter((s) => !Object.hasOwn(packageJson.scripts, s))).toEqual([])
    const files = [...text.matchAll(/\bexamples\/[\w./-]+/g)].map((m) => m[0].replace(/\.$/, ''))
    expect(files.filter((f) => !existsSync(join(root, f)))).toEqual([])

    const patterns = routes.map((r) => new RegExp(`^${r.path.replaceAll(/\{\w+\}/g, '[^/]+')}$`))
    const asked = [...text.matchAll(/http:\/\/(?:127\.0\.0\.1|localhost):8080(\/[^\s'"?`]*)/g)].map((m) => m[1]!)
    const named = codes(text).flatMap((c) => /^(?:GET|POST|PUT|DELETE) (\/[^\s?]*)/.exec(c)?.[1] ?? [])
    expect([...asked, ...named].filter((path) => !patterns.some((p) => p.test(path)))).toEqual([])
  })

  it('names variables, rules and steps of the files beside it', () => {
    const words = wordsBeside(page)
    const variables = codes(text).filter((c) => /^[A-Z][A-Z0-9_]+$/.test(c) && c !== 'SIGNALBOX_URL' && c !== 'NAME')
    expect(variables.filter((v) => !words.includes(v))).toEqual([])
    // The first cell of a table's row, where it is a rule's or a step's.
    const rows = [...text.matchAll(/^\| ((?:`[a-z-]+` ?)+)\|/gm)].flatMap((m) => codes(m[1]!))
    expect(rows.filter((r) => !new RegExp(`name(:| =) "?${r}\\b`).test(words))).toEqual([])
  })
})

it('the pages are found from the README', () => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  const top = pages.map((p) => relative('', dirname(p))).filter((p) => !p.includes('/'))
  expect(top.filter((p) => !readme.includes(`(examples/${p})`))).toEqual([])
})
