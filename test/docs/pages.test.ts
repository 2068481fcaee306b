import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse as parseYaml } from 'yaml'
import { schemaFiles } from '../../scripts/schema.ts'
import { loadConfig } from '../../src/app/config/load.ts'
import { routes } from '../../src/http/routes/index.ts'
import { compileRules } from '../../src/rules/compile.ts'
import { anchors, blocks, codes, type Page, pages, root, textOf } from './markdown.ts'

/** Whatever the pages show works: links lead somewhere, files load, rules compile, addresses are answered. */

interface Package {
  readonly version: string
  readonly license: string
  readonly scripts: { readonly [name: string]: string }
}
const packageJson = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Package // our own file

const isPage = (path: string): path is Page => pages.some((p) => p === path)

describe.each(pages)('%s', (page) => {
  it('has links that lead somewhere', () => {
    const dead = [...textOf(page).matchAll(/\]\(([^)\s]+)\)/g)]
      .map((m) => m[1]!)
      .filter((to) => !/^https?:/.test(to))
      .filter((to) => {
        const [path = '', anchor] = to.split('#')
        const target = path === '' ? join(root, page) : resolve(root, dirname(page), path)
        if (!existsSync(target)) return true
        const at = relative(root, target)
        return anchor !== undefined && !(isPage(at) && anchors(at).includes(anchor))
      })
    expect(dead).toEqual([])
  })

  it('shows rules that compile', () => {
    for (const text of blocks(page, 'yaml')) {
      const { findings } = compileRules([{ file: page, text }], {
        names: {
          providers: ['chat', 'console'],
          chains: ['look-then-tell', 'trip'],
          loops: { groupFlush: true, scheduled: true },
        },
        timezone: 'UTC',
        envNames: [],
        environment: {},
        redact: (v) => v,
      })
      expect(findings, text).toEqual([])
      expect(parseYaml(text)).toHaveProperty('rules')
    }
  })

  it('shows configuration that loads', () => {
    for (const text of blocks(page, 'toml')) {
      // What shows the stores alone delivers nothing, and is right.
      const whole = text.includes('[[providers]]') || !/^\[state\]$/m.test(text)
      const alone = whole ? text : `${text}\n[[providers]]\nname = "console"\ntype = "log"\n`
      // Whoever follows the README adds to the file that is shipped.
      const shown = page === 'README.md' ? `${readFileSync(join(root, 'gateway.toml'), 'utf8')}\n${text}` : alone
      const { findings } = loadConfig({ cwd: root, env: {}, readFile: () => shown })
      expect(findings, text).toEqual([])
    }
  })

  it('shows JSON that is JSON, in answers and in requests', () => {
    for (const text of blocks(page, 'json')) expect(() => JSON.parse(text), text).not.toThrow()
    for (const text of blocks(page, 'sh'))
      for (const m of text.matchAll(/(?:-d|^dispatch) '(\{[^']*\})'/gm))
        expect(() => JSON.parse(m[1]!), m[1]).not.toThrow()
  })

  it('names npm scripts, files and addresses that are there', () => {
    const text = textOf(page)
    const scripts = [...text.matchAll(/npm (?:run )?(start|test|[a-z-]+(?=[^a-z-]))/g)]
      .filter((m) => m[0].startsWith('npm run ') || m[1] === 'start' || m[1] === 'test')
      .map((m) => m[1]!)
    expect(scripts.filter((s) => !Object.hasOwn(packageJson.scripts, s))).toEqual([])

    const files = codes(text).filter((c) => /^(src|test|scripts|examples|schema|docs|\.ci)\/[\w./-]+$/.test(c))
    const made = (f: string) => /(^|\/)x\.ts$/.test(f) // what somebody is about to write
    expect(files.filter((f) => !made(f) && !existsSync(join(root, f)))).toEqual([])

    const patterns = routes.map((r) => new RegExp(`^${r.path.replaceAll(/\{\w+\}/g, '[^/]+')}$`))
    const asked = [...text.matchAll(/http:\/\/127\.0\.0\.1:8080(\/(?:[^\s'"?$`]|\$id)*)/g)].map((m) => m[1]!)
    const named = codes(text).flatMap((c) => /^(?:GET|POST|PUT|DELETE) (\/[^\s?]*)/.exec(c)?.[1] ?? [])
    expect([...asked, ...named].filter((path) => !patterns.some((p) => p.test(path)))).toEqual([])
  })
})

describe('what is shipped', () => {
  it('names its version in the changelog, its licence in the README and beside it', () => {
    expect(textOf('CHANGELOG.md')).toContain(`## ${packageJson.version}\n`)
    expect(textOf('README.md')).toContain(`${packageJson.license}, see [LICENSE](LICENSE)`)
    expect(readFileSync(join(root, 'LICENSE'), 'utf8')).toContain(
      'Apache License\n                           Version 2.0',
    )
  })

  it.each(schemaFiles())('schema/%s refers only to what it holds', (_name, text) => {
    const schema = JSON.parse(text) as { readonly $defs?: object }
    const refs = [...new Set([...text.matchAll(/"\$ref":"([^"]+)"/g)].map((m) => m[1]!))]
    const held = Object.keys(schema.$defs ?? {}).map((name) => `#/$defs/${name}`)
    expect(refs.filter((r) => !held.includes(r))).toEqual([])
  })

  it.each(schemaFiles())('schema/%s is current (if not: npx node scripts/schema.ts)', (name, text) => {
    expect(JSON.parse(readFileSync(join(root, 'schema', name), 'utf8'))).toEqual(JSON.parse(text))
  })
})
