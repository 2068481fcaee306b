import { loadConfig, requestAgain } from '../config/load.ts'
import { fingerprint } from '../reload.ts'
import { type Command, configOptions, requestOf, type Serve } from './command.ts'
import { printFindings } from './findings.ts'

export type { Serve }

export const serve: Command = {
  name: 'serve',
  about: 'run the gateway',
  options: {
    ...configOptions,
    host: { type: 'string', value: 'HOST', about: 'over server.host' },
    port: { type: 'string', value: 'PORT', about: 'over server.port' },
  },
  async run(given, terminal) {
    const request = requestOf(given, terminal)
    const loaded = loadConfig(request)
    printFindings(loaded.findings, terminal.err)
    if (!loaded.config) return 1
    const { file } = loaded.config
    const print = file === undefined ? '' : fingerprint(file)
    const { opening } = await import('../opening.ts')
    const begun = opening(loaded.config)
    const entry: { readonly serve: Serve } = await import('../serve.ts')
    const again = requestAgain(request, loaded.config)
    return entry.serve(loaded.config, begun, () => loadConfig(again), print, loaded.findings)
  },
}
