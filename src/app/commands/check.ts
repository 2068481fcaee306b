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
import { openingProblem, openStore } from './migrate.ts'

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
    const rules = config ? await checkRules(config, terminal.env) : { count: 0, findings: [] }
    const findings = [...found, ...rules.findings]
    printFindings(findings, terminal.out)
    const fails = findings.some((f) => f.severity === 'error' || given.strict)
    if (!config || fails) {
      terminal.err(`not ok: ${countFindings(findings)}`)
      return 1
    }
    if (given.connect && !(await connect(config, terminal))) return 1
    const counts = [
      counted(config.providers.length, 'provider'),
      counted(rules.count, 'rule'),
      counted(config.chains.definitions.length, 'chain'),
    ]
    terminal.out(`ok: ${counts.join(', ')}`)
    return 0
  },
}

/** Opens the store and asks every provider, side by side; one line each. */
async function connect(config: Config, terminal: Terminal): Promise<boolean> {
  const tests = [
    named(`state ${config.state.backend === 'sqlite' ? config.state.path : config.state.backend}`, async () => {
      await openStore(config).catch((e: unknown) => {
        throw new Error(openingProblem(config, e))
      })
    }),
    ...config.providers.map((p) => named(`provider ${p.name}`, () => reach(p, environment(terminal)))),
  ]
  const results = await Promise.all(tests)
  for (const { name, problem } of results)
    if (problem === undefined) terminal.out(`${name}: reached`)
    else terminal.err(`${name}: ${problem}`)
  return results.every((r) => r.problem === undefined)
}
async function named(name: string, test: () => Promise<void>): Promise<{ name: string; problem: string | undefined }> {
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
