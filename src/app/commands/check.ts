import type { ChainDefinition } from '../../chains/model/definition.ts'
import { deadlineSignal, systemClock } from '../../core/clock.ts'
import type { Env } from '../../core/env.ts'
import { ProviderError } from '../../core/errors.ts'
import { systemRandom, uuidv7Source } from '../../core/ids.ts'
import { providerTypes } from '../../providers/index.ts'
import type { Config, ProviderConfig } from '../config/config.ts'
import { loadConfig } from '../config/load.ts'
import { checkRules } from './check-rules.ts'
import { type Command, configOptions, requestOf, type Terminal } from './command.ts'
import { counted, countFindings, printFindings } from './findings.ts'
import { lookAtStore, openingProblem } from './migrate.ts'
import { checkBeside, storedChains } from './stored-chains.ts'

export const check: Command = {
  name: 'check',
  about: 'read configuration and rules and say what is wrong with them',
  options: {
    ...configOptions,
    connect: { type: 'boolean', about: 'also open the store and reach every provider' },
    strict: { type: 'boolean', about: 'warnings fail too' },
  },
  async run(given, terminal) {
    const { config, findings: found } = loadConfig(requestOf(given, terminal))
    // First of all: rules may start chains that only the store has.
    const store = config && given.connect ? await reachStore(config) : undefined
    const stored = store?.chains
    const rules = config
      ? await checkRules(
          config,
          terminal.env,
          stored?.map((d) => d.name),
        )
      : { count: 0, findings: [] }
    const findings = [...found, ...(config && stored ? checkBeside(config, stored) : []), ...rules.findings]
    printFindings(findings, terminal.out)
    const fails = findings.some((f) => f.severity === 'error' || given.strict)
    if (!config || fails) {
      if (store?.problem !== undefined) terminal.err(`${store.name}: ${store.problem}`)
      terminal.err(`not ok: ${countFindings(findings)}`)
      return 1
    }
    if (store && !(await connect(config, store, terminal))) return 1
    const counts = [
      counted(config.providers.length, 'provider'),
      counted(rules.count, 'rule'),
      counted(config.chains.definitions.length, 'chain'),
    ]
    terminal.out(`ok: ${counts.join(', ')}`)
    return 0
  },
}

interface Tested {
  readonly name: string
  readonly problem: string | undefined
}
/** Opens the store and reads the chains that were defined through the API; undefined with a problem. */
async function reachStore(
  config: Config,
): Promise<Tested & { readonly chains: readonly ChainDefinition[] | undefined }> {
  let chains: readonly ChainDefinition[] | undefined
  const { backend, path } = config.state
  const tested = await named(`state ${backend === 'sqlite' ? path : backend}`, async () => {
    chains = await lookAtStore(config, storedChains).catch((e: unknown) => {
      throw new Error(openingProblem(config, e))
    })
  })
  return { ...tested, chains }
}

/** Asks every provider, side by side; one line each, behind the store's. */
async function connect(config: Config, store: Tested, terminal: Terminal): Promise<boolean> {
  const tests = config.providers.map((p) => named(`provider ${p.name}`, () => reach(p, environment(terminal))))
  const results = [store, ...(await Promise.all(tests))]
  for (const { name, problem } of results)
    if (problem === undefined) terminal.out(`${name}: reached`)
    else terminal.err(`${name}: ${problem}`)
  return results.every((r) => r.problem === undefined)
}
async function named(name: string, test: () => Promise<void>): Promise<Tested> {
  try {
    await test()
    return { name, problem: undefined }
  } catch (e) {
    const said = e instanceof Error ? e.message : String(e)
    return { name, problem: e instanceof ProviderError ? `${e.code}: ${said}` : said }
  }
}

async function reach(configured: ProviderConfig, env: Env): Promise<void> {
  const type = providerTypes.find((t) => t.type === configured.type)
  if (!type) throw new Error(`there is no provider type ${configured.type}`)
  const provider = type.open(configured.name, configured.config, env)
  const deadline = deadlineSignal(env.clock, configured.timeoutSeconds * 1000)
  try {
    await provider.check(deadline.signal)
  } finally {
    deadline.clear()
    await provider.close()
  }
}

function environment(terminal: Terminal): Env {
  const clock = systemClock()
  const random = systemRandom()
  const say = (_fields: object, message: string) => terminal.err(message)
  const quiet = () => {}
  return {
    clock,
    random,
    newId: uuidv7Source(clock.now, random),
    log: { debug: quiet, info: quiet, warn: say, error: say },
  }
}
