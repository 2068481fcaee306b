import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Program {
  readonly path: string
  readonly env: NodeJS.ProcessEnv
}
export interface Packaged {
  readonly name: string
  /** Where its package puts it, below `/`. */
  readonly at: string
  readonly needs: readonly string[]
  /** Mostly there already, and named differently from one release to the next. */
  readonly perhaps: readonly string[]
}
export interface FromDebian {
  /** Looked for once. */
  program(): Program | undefined
  /** Whether tests that need it must be skipped: said aloud on one's own machine, a failure where a change is judged. */
  without(): boolean
}

/**
 * A program from the PATH, or from the packages of a Debian or Ubuntu, unpacked beside the other temporary files: nothing is
 * installed. Each is asked for its `--version` before it is taken.
 */
export function fromDebian(what: Packaged): FromDebian {
  const cache = join(tmpdir(), `signalbox-${what.name}-${process.arch}-${process.getuid?.() ?? 0}`)
  let looked = false
  let found: Program | undefined
  const program = (): Program | undefined => {
    if (!looked) found = installed(what) ?? unpacked(what, cache) ?? download(what, cache)
    looked = true
    return found
  }
  return {
    program,
    without() {
      if (program() !== undefined) return false
      const why = `no ${what.name} on the PATH or from apt-get: its tests are skipped`
      if (process.env['CI']) throw new Error(why)
      process.stderr.write(`${why}\n`)
      return true
    },
  }
}

const runs = (p: Program): boolean => spawnSync(p.path, ['--version'], { env: p.env }).status === 0

/** What an administrator runs is not on everybody's PATH. */
const installed = ({ name, at }: Packaged): Program | undefined =>
  [name, `/${at}`].map((path) => ({ path, env: process.env })).find(runs)

function unpacked({ at }: Packaged, folder: string): Program | undefined {
  const path = join(folder, at)
  if (!existsSync(path)) return undefined
  const libraries = ['usr/lib', 'lib']
    .map((d) => join(folder, d))
    .filter((d) => existsSync(d))
    .flatMap((d) => readdirSync(d).map((name) => join(d, name)))
  const here = { path, env: { ...process.env, LD_LIBRARY_PATH: libraries.join(':') } }
  return runs(here) ? here : undefined
}

/** As an ordinary user. Several at once do not meet: each unpacks in a folder of its own, and the first to be done gives it its name. */
function download(what: Packaged, cache: string): Program | undefined {
  if (process.platform !== 'linux' || spawnSync('apt-get', ['--version']).status !== 0) return undefined
  const own = mkdtempSync(join(tmpdir(), `signalbox-${what.name}-`))
  try {
    const lists = join(own, 'lists')
    const archives = join(own, 'archives')
    const apt = (args: readonly string[]): boolean =>
      spawnSync('apt-get', ['-qq', '-o', 'APT::Sandbox::User=root', '-o', `Dir::Cache=${own}/cache`, ...args], {
        cwd: archives,
      }).status === 0
    for (const d of [join(lists, 'partial'), archives, join(own, 'cache/archives/partial'), join(own, 'root')])
      mkdirSync(d, { recursive: true })
    const ownLists = ['-o', `Dir::State::lists=${lists}`]
    const from = apt(['download', ...what.needs]) ? [] : ownLists
    if (from === ownLists && !(apt([...from, 'update']) && apt([...from, 'download', ...what.needs]))) return undefined
    const unpack = (): Program | undefined => {
      for (const deb of readdirSync(archives)) spawnSync('dpkg', ['-x', join(archives, deb), join(own, 'root')])
      return unpacked(what, join(own, 'root'))
    }
    if (unpack() === undefined) {
      for (const name of what.perhaps) apt([...from, 'download', name])
      if (unpack() === undefined) return undefined
    }
    try {
      renameSync(join(own, 'root'), cache)
    } catch {
      // Another one was faster, and what lies there is as good.
    }
    return unpacked(what, cache)
  } finally {
    rmSync(own, { recursive: true, force: true })
  }
}
