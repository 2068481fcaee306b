import { z } from 'zod'
import type { Log } from '../core/env.ts'
import { StateUnavailable, StateUnknown } from '../core/errors.ts'
import { jsonOf } from '../core/json.ts'
import type { Control } from '../core/state.ts'
import type { Rule } from './compile.ts'

/** A rule switched on or off by hand, everywhere: the value of a document of the topic `rules`, by rule name. */
const Switch = z.object({
  enabled: z.boolean(),
  by: z.string(),
  why: z.string().optional(),
  /** RFC 3339. */
  at: z.string(),
  /** What the file said then: once it says otherwise, the file has the last word. */
  file_enabled: z.boolean(),
})
export type Switch = z.output<typeof Switch>

export function readSwitches(control: Control, log: Log): ReadonlyMap<string, Switch> {
  const switches = new Map<string, Switch>()
  for (const doc of control.all()) {
    const parsed = Switch.safeParse(jsonOf(doc.value))
    if (parsed.success) switches.set(doc.id, parsed.data)
    else log.warn({ rule: doc.id }, 'a stored rule switch cannot be read and has no effect')
  }
  return switches
}

/** The switch that decides about a rule, if one does. */
export function inForce(rule: Rule, switches: ReadonlyMap<string, Switch>): Switch | undefined {
  const s = switches.get(rule.name)
  return s?.file_enabled === rule.enabled ? s : undefined
}

/** Forgets switches the file has since overruled, so that they do not come back when it says again what it said then. */
export async function dropOverruled(
  control: Control,
  rules: ReadonlyMap<string, Rule>,
  switches: ReadonlyMap<string, Switch>,
  log: Log,
): Promise<void> {
  for (const name of switches.keys()) {
    const rule = rules.get(name)
    const doc = control.get(name)
    if (!rule || !doc || inForce(rule, switches)) continue
    try {
      await control.delete(name, { ifVersion: doc.version })
    } catch (e) {
      if (!(e instanceof StateUnavailable || e instanceof StateUnknown)) throw e
      log.warn({ rule: name }, 'an overruled rule switch could not be removed; the next load tries again')
    }
  }
}
