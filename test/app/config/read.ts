import { type ConfigRequest, type LoadedConfig, loadConfig } from '../../../src/app/config/load.ts'
import { showFinding } from '../../../src/core/errors.ts'

export type Read = LoadedConfig & { readonly shown: readonly string[] }

/** Loads a configuration from text; `files` are others it may name, by absolute path. */
export function readText(
  text: string | undefined,
  request: Partial<ConfigRequest> & { readonly files?: { readonly [path: string]: string } } = {},
): Read {
  const { files, ...rest } = request
  const all: { readonly [path: string]: string | undefined } = { ...files, '/etc/signalbox/gateway.toml': text }
  const loaded = loadConfig({
    cwd: '/etc/signalbox',
    env: {},
    readFile(path) {
      const found = Object.hasOwn(all, path) ? all[path] : undefined
      if (found === undefined) throw Object.assign(new Error('absent'), { code: 'ENOENT' })
      return found
    },
    ...rest,
  })
  return { ...loaded, shown: loaded.findings.map(showFinding) }
}

/** One `log` provider, so that nothing is said about there being none. */
export const CONSOLE = '[[providers]]\nname = "console"\ntype = "log"\n'
