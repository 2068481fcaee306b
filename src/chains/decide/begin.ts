import { kinds } from '../../core/hold.ts'
import type { Loaded } from '../model/loaded.ts'
import { limitsOf } from '../model/run.ts'
import { type Start, startOps } from '../model/start.ts'
import { openReady, openStep } from './advance.ts'
import { type Tools, Turn } from './turn.ts'

const NOBODY = { acting: new Set<string>(), holds: false, resumed: new Set<string>() }

/** It has what it must have: its time runs, and its first steps are opened. */
export function begin(turn: Turn): void {
  const { run, now } = turn
  turn.say({ type: 'began', deadline: now + run.timeoutMs })
  const { graph, first } = turn.from.chain
  if (Object.keys(turn.run.entered).length > 0) {
    // Brought back: what it waits for may begin under its lock.
    for (const { child } of turn.run.open)
      if (child !== undefined) turn.ops.push({ op: 'wake', kind: kinds.run, id: child })
    return
  }
  if (graph) openReady(turn)
  else openStep(turn, first[0]!, undefined)
}

/**
 * The ops of a start, and the execution as it stands after their commit. One that needs nothing first and begins by sending something
 * is opened in the same commit, so that its first byte needs no other.
 */
export function startRun(
  s: Start,
  tools: Tools,
): { readonly ops: ReturnType<typeof startOps>['ops']; readonly loaded: Loaded } {
  const { run, beginning, ...base } = startOps(s, tools)
  const loaded: Loaded = {
    scope: s.scope,
    run,
    chain: s.chain,
    beginning,
    results: new Map(),
    records: new Map(),
    members: new Map(),
    inbox: [],
    undos: [],
  }
  const bound = run.lock || limitsOf(run, tools.maxPerScope()).length > 0
  if (bound || !startsBySending(s, loaded, tools)) return { ops: base.ops, loaded }
  const turn = new Turn(tools, loaded, s.now, NOBODY)
  begin(turn)
  const opened = startOps(s, tools, { run: turn.run, events: turn.events })
  return {
    ops: [...opened.ops, ...turn.ops],
    loaded: { ...loaded, run: turn.run, records: turn.records },
  }
}

function startsBySending(s: Start, loaded: Loaded, tools: Tools): boolean {
  const [first, ...others] = s.chain.first
  const step = first === undefined || others.length > 0 ? undefined : s.chain.steps.get(first)
  if (step?.kind.kind !== 'provider' || step.cache || step.definition.delay_seconds) return false
  const turn = new Turn(tools, loaded, s.now, NOBODY)
  const task = { key: step.name, iteration: 0, since: s.now, attempt: 0 }
  return step.does.enter(turn.context(task)).to === 'act'
}
