import type { Finding } from '../../core/errors.ts'
import type { Environment } from '../../core/expand.ts'
import { compileRules, LACKING } from '../../rules/compile.ts'
import { isAbsent, listRules, noDirectory, noneLeft, readRules } from '../../rules/loader.ts'
import type { Config } from '../config/config.ts'
import { nameOf } from '../config/draft.ts'
import { rulesMayBeAbsent } from '../config/load.ts'
import { ruleNames } from '../rule-names.ts'

/** Compiles the rule files as a start would. Warnings for a directory that only the default names, errors for all else. */
export async function checkRules(
  config: Config,
  environment: Environment,
  /** Names of the chains the store has; undefined where nobody has looked. */
  stored: readonly string[] | undefined,
): Promise<{ readonly count: number; readonly findings: readonly Finding[] }> {
  const { directory } = config.rules
  const findings: Finding[] = []
  const listing = await listRules(directory).catch((e: unknown) => {
    findings.push(noDirectory(directory, e, rulesMayBeAbsent(config) && isAbsent(e)))
    return undefined
  })
  if (!listing) return { count: 0, findings }
  const files = await readRules(listing.files, findings)
  const compiled = compileRules(files, {
    names: ruleNames(config, [...config.chains.definitions.flatMap((d) => nameOf(d) ?? []), ...(stored ?? [])]),
    timezone: config.rules.defaultTimezone,
    envNames: config.rules.env,
    environment,
    redact: (v) => v,
    withoutChain: () => (stored ? LACKING : ' in the file; it may be defined by the API'),
  })
  const count = compiled.rules.length
  return {
    count,
    findings: [...findings, ...compiled.findings, ...(count === 0 ? noneLeft(directory, files.length, 0) : [])],
  }
}
