import { readdir, readFile, realpath, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Finding } from '../core/errors.ts'
import { NotUtf8, utf8 } from '../core/utf8.ts'
import type { RuleFile } from './compile.ts'

/** Levels of folders below the rules directory. */
const MAX_LEVELS = 32

export interface Listed {
  /** Below the directory's own name, with `/`: as findings and lists name it. */
  readonly label: string
  readonly path: string
}
export interface Listing {
  readonly files: readonly Listed[]
  /** A text that differs whenever a file or folder was changed, replaced, added, removed, or a link set to another place. */
  readonly fingerprint: string
}

/**
 * Every `.yaml` and `.yml` file below the directory, links followed, in order of path. Names that begin with a dot are left out:
 * editors keep their drafts there, and mounted volumes a second copy of every file. Rejects when a folder cannot be read.
 */
export async function listRules(directory: string): Promise<Listing> {
  const files: Listed[] = []
  const marks: string[] = []
  async function visit(path: string, label: string, above: readonly string[]): Promise<void> {
    const real = await realpath(path)
    if (above.includes(real) || above.length > MAX_LEVELS) return // a link that leads back up
    marks.push(`${label} ${real}`)
    const names = (await readdir(path)).filter((n) => !n.startsWith('.'))
    for (const name of names) {
      const inner = join(path, name)
      const info = await stat(inner, { bigint: true }).catch(() => undefined)
      if (info?.isDirectory()) await visit(inner, `${label}/${name}`, [...above, real])
      else if (/\.ya?ml$/.test(name)) {
        files.push({ label: `${label}/${name}`, path: inner })
        // What leads nowhere is listed too: reading it names it in a finding.
        const { mtimeNs, ctimeNs, size, ino } = info ?? {}
        marks.push([label, name, info && (await realpath(inner)), mtimeNs, ctimeNs, size, ino].join(' '))
      }
    }
  }
  await visit(directory, basename(directory), [])
  files.sort((a, b) => (a.label < b.label ? -1 : 1))
  return { files, fingerprint: marks.sort().join('\n') }
}

/** The texts of the listed files; one that cannot be read is an error finding, so that the load as a whole fails. */
export async function readRules(files: readonly Listed[], findings: Finding[]): Promise<readonly RuleFile[]> {
  const read = await Promise.all(
    files.map(async ({ label, path }): Promise<RuleFile | undefined> => {
      try {
        if ((await stat(path)).isFile()) return { file: label, text: utf8(await readFile(path)) }
        // A pipe would be waited for, and with it every load that comes after; a device may never end.
        findings.push({ file: label, line: 1, column: 1, severity: 'error', message: 'is no file' })
        return undefined
      } catch (e) {
        findings.push(e instanceof NotUtf8 ? e.finding(label) : unreadable(label, e))
        return undefined
      }
    }),
  )
  return read.filter((f) => f !== undefined)
}

export const unreadable = (file: string, e: unknown): Finding => ({
  file,
  line: 1,
  column: 1,
  severity: 'error',
  message: `cannot be read: ${e instanceof Error && 'code' in e ? String(e.code) : 'unknown error'}`,
})

export const isAbsent = (e: unknown): boolean => e instanceof Error && 'code' in e && e.code === 'ENOENT'

/** Of a load that leaves no rule. `before`: how many there were since the start, when there were any. */
export function noneLeft(directory: string, files: number, before: number): readonly Finding[] {
  const gone = before > 0 ? `no rule is left of ${before}, and nothing is denied or suppressed any more` : undefined
  const none = files === 0 ? 'there is no .yaml or .yml file in the rules directory' : undefined
  const message = [gone, none].filter((m) => m !== undefined).join(': ')
  return message === '' ? [] : [{ file: directory, line: 0, column: 0, severity: 'warning', message }]
}

/** What is said of the rules directory itself; `fine`: it is a warning that there is none. */
export function noDirectory(directory: string, e: unknown, fine: boolean): Finding {
  const why = isAbsent(e) ? 'there is no such directory' : unreadable(directory, e).message
  const message = fine ? `there are no rules: ${why}` : `the rules directory cannot be read: ${why}`
  return { file: directory, line: 0, column: 0, severity: fine ? 'warning' : 'error', message }
}
