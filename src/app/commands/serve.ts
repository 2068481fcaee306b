import type { Config } from '../config/config.ts'
import { type LoadedConfig, loadConfig } from '../config/load.ts'
import { type Command, configOptions, requestOf } from './command.ts'
import { printFindings } from './findings.ts'

/**
 * What `src/app/serve.ts` exports as `serve`: opens everything, prints where it listens, and resolves to the exit code once a signal
 * has stopped it. `again` reads file, variables and flags anew, as a reload does.
 */
export type Serve = (config: Config, again: () => LoadedConfig) => Promise<number>

export const serve: Command = {
  name: 'serve',
  about: 'run the gateway',
  options: {
    ...configOptions,
    host: { type: 'string', value: 'HOST', about: 'over server.host' },
    port: { type: 'string', value: 'PORT', about: 'over server.port' },
  },
  async run(given, terminal) {
    const request = requestOf(given, terminal, true)
    const loaded = loadConfig(request)
    printFindings(loaded.findings, terminal.err)
    if (!loaded.config) return 1
    const entry: { readonly serve: Serve } = await import('../serve.ts')
    return entry.serve(loaded.config, () => loadConfig(request))
  },
}
