import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

export const root = resolve(import.meta.dirname, '../..')
export const pages = [
  'README.md',
  'CHANGELOG.md',
  'docs/api.md',
  'docs/architecture.md',
  'docs/backends.md',
  'docs/chains.md',
  'docs/configuration.md',
  'docs/delivery.md',
  'docs/deployment.md',
  'docs/performance.md',
  'docs/rules.md',
] as const
export type Page = (typeof pages)[number]

export const textOf = (page: Page): string => readFileSync(join(root, page), 'utf8')

/** Rows of the table whose head begins with these cells, in the section under this heading; all cells trimmed. Throws when there is none. */
export function table(page: Page, heading: string | undefined, ...head: readonly string[]): readonly string[][] {
  const lines = section(page, heading).split('\n')
  const at = lines.findIndex((l) => l.startsWith('|') && head.every((h, i) => cells(l)[i] === h))
  if (at === -1) throw new Error(`${page} has no table ${head.join(' | ')}${heading ? ` under "${heading}"` : ''}`)
  const rows = lines.slice(at + 2)
  const end = rows.findIndex((l) => !l.startsWith('|'))
  return rows.slice(0, end === -1 ? undefined : end).map(cells)
}

/** The text from a heading to the next of its level or above; without one, the whole page. */
export function section(page: Page, heading: string | undefined): string {
  const text = textOf(page)
  if (heading === undefined) return text
  const lines = text.split('\n')
  const at = lines.findIndex((l) => /^#+ /.test(l) && l.replace(/^#+ /, '') === heading)
  if (at === -1) throw new Error(`${page} has no heading "${heading}"`)
  const level = /^#+/.exec(lines[at]!)![0].length
  const end = lines.findIndex((l, i) => i > at && /^#+ /.test(l) && /^#+/.exec(l)![0].length <= level)
  return lines.slice(at + 1, end === -1 ? undefined : end).join('\n')
}

const cells = (line: string): string[] =>
  line
    .replace(/^\||\|\s*$/g, '')
    .split(/(?<!\\)\|/)
    .map((c) => c.trim().replaceAll('\\|', '|'))

/** What stands in backticks. */
export const codes = (text: string): readonly string[] => [...text.matchAll(/`([^`]+)`/g)].map((m) => m[1]!)

/** Fenced blocks of a language. */
export const blocks = (page: Page, language: string): readonly string[] =>
  [...textOf(page).matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].flatMap((m) => (m[1] === language ? [m[2]!] : []))

/** Headings as links name them (GitHub's way). */
export const anchors = (page: Page): readonly string[] =>
  [...textOf(page).matchAll(/^#+ (.*)$/gm)].map((m) =>
    m[1]!
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-'),
  )
