import { isoTime } from '../../core/clock.ts'
import { readControlDoc } from '../../core/control-doc.ts'
import type { Env } from '../../core/env.ts'
import { StateUnavailable, StateUnknown } from '../../core/errors.ts'
import type { Control, ControlWrite } from '../../core/state.ts'

const SWITCHES = 'chain_switches'

/** A chain switched on or off by hand: the value of a document of the topic `chain_switches`, by chain name. */
export interface Switch {
  readonly enabled: boolean
  readonly by: string
  readonly why?: string
  /** RFC 3339. */
  readonly at: string
  /** What the definition said then: once it says otherwise, it has the last word. */
  readonly defined: boolean
}
export interface Switches {
  /** The switch that decides about a chain whose definition says this, if one does. */
  inForce(name: string, defined: boolean): Switch | undefined
  set(
    name: string,
    to: { readonly enabled: boolean; readonly by: string; readonly why?: string; readonly defined: boolean },
    write: Pick<ControlWrite, 'record'>,
  ): Promise<void>
  /**
   * Forgets switches that definitions have since overruled, so that they do not come back when one says again what it said then.
   * `defined`: what each chain's definition says; undefined where this node has none, though another may. A switch that cannot
   * be removed is tried again with the next change.
   */
  dropOverruled(defined: (name: string) => boolean | undefined): Promise<void>
  /** Of a chain that is gone for every node. */
  forget(name: string): Promise<void>
}

export function createSwitches(control: Control, env: Env): Switches {
  let all: ReadonlyMap<string, Switch> = new Map()
  const read = () => {
    all = new Map(control.all().map((doc) => [doc.id, readControlDoc(SWITCHES, doc)]))
  }
  read()
  control.subscribe(read)
  const inForce = (name: string, defined: boolean): Switch | undefined => {
    const found = all.get(name)
    return found?.defined === defined ? found : undefined
  }
  async function drop(id: string, version: string): Promise<void> {
    try {
      await control.delete(id, { ifVersion: version })
    } catch (e) {
      if (!(e instanceof StateUnavailable || e instanceof StateUnknown)) throw e
      env.log.warn({ chain_name: id }, 'a switch that decides nothing any more could not be removed')
    }
  }
  return {
    inForce,
    async set(name, to, write) {
      const value: Switch = { ...to, at: isoTime(env.clock.now()) }
      await control.put(name, JSON.stringify(value), write)
    },
    async dropOverruled(defined) {
      for (const { id, version } of control.all()) {
        const says = defined(id)
        if (says !== undefined && !inForce(id, says)) await drop(id, version)
      }
    },
    async forget(name) {
      const doc = control.get(name)
      if (doc) await drop(name, doc.version)
    },
  }
}
