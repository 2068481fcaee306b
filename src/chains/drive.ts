import { kinds } from '../core/hold.ts'
import { absorb, absorbCancel, dueOf, nextDue, wake } from './absorb.ts'
import { beginStep, endStep, openReady, openStep, timeIsUp } from './advance.ts'
import { begin } from './begin.ts'
import { cached } from './cache.ts'
import { CANCEL_AT, commitTurn, RUN_AT } from './commit.ts'
import type { Driver, Driving } from './driver.ts'
import { type Flights, flightOf } from './flight.ts'
import { fillGroup } from './group.ts'
import { readInbox } from './inbox.ts'
import { type Loaded, readUndos } from './loaded.ts'
import { LOOK_AGAIN_MS, outOfLine, turnOf } from './lock.ts'
import { opening } from './outcomes.ts'
import { hasEnded, membersOf, type Run, type StepResult, stepAt, taskOf } from './run.ts'
import { leaveSlots, takePlaces, wakeParked } from './slots.ts'
import { Turn } from './turn.ts'
import { beginUndo, startUndoing } from './undo.ts'
import { windDown } from './wind-down.ts'

/*
 * 1 One writer: every commit puts the execution under the claim it is driven by. Others leave messages and wake it.
 * 2 Its record is the fold of its history, and a step's result is in the same commit.
 * 3 What a step sends is stored before its first byte; after a crash the same bytes go out under the same token.
 * 4 A child is a function of parent, step, iteration and attempt, born in the commit that makes its parent wait.
 * 5 Every commit asks that no cancel has come that was not looked at; a terminal status is final.
 * 6 It is always due: while claimed when the claim runs out, else when it has something to do, at its deadline at the latest.
 * 7 Commits come one after another; what is acted on at once ends in any order, each in a commit of its own.
 */

/** How long an execution waits for a node that has what its step needs. */
const LACKING_MS = 5000
/** Messages of other nodes to an execution that is acting here are looked for so often. */
const MAIL_MS = 5000
const PAUSED_MS = 86_400_000

/** Drives an execution as far as it goes: to its end, to a wait, or until it is handed back or its claim is lost. */
export async function drive(tools: Driver, loaded: Loaded, how: Driving): Promise<void> {
  const { env, state } = tools
  const { clock } = env
  const { scope } = loaded
  const id = loaded.run.id
  let at = loaded
  let over = false
  let mail = loaded.inbox.length > 0
  /** What was loaded with it has been looked at. */
  let read = !mail
  let poked = Promise.withResolvers<void>()
  let committing: Promise<unknown> = Promise.resolve()
  const lacks = new Map<string, string>()
  const flights: Flights = {
    flying: new Map(),
    // Stored by an earlier claim, so an attempt may have been made already.
    resumed: new Set(how.fresh ? [] : loaded.run.open.filter((t) => t.notBefore === undefined).map((t) => t.key)),
  }
  const poke = (): void => {
    poked.resolve()
    poked = Promise.withResolvers<void>()
  }
  how.reach({
    mail() {
      mail = true
      poke()
    },
    stop() {
      for (const f of flights.flying.values()) f.stop.abort()
      poke()
    },
  })

  /** One turn after another, each as one commit; decided again where something moved. */
  function settle(decide: (turn: Turn) => void): Promise<void> {
    const done = committing.then(() => turnOnce(decide))
    committing = done.catch(() => undefined)
    return done
  }
  async function turnOnce(decide: (turn: Turn) => void): Promise<void> {
    while (!over) {
      const acting = new Set(flights.flying.keys())
      const turn = new Turn(tools, at, clock.now(), { acting, holds: how.stopping(), resumed: flights.resumed })
      absorbCancel(turn)
      decide(turn)
      windDown(turn)
      if (turn.events.length === 0 && turn.ops.length === 0 && turn.inbox === at.inbox) return
      const dueAt = restsUntil(turn)
      const written = await commitTurn({ state, env }, turn, how.lease, dueAt)
      if (written.kind === 'done') return settled(turn, dueAt)
      if (written.kind === 'lost' || written.at === RUN_AT) {
        env.log.warn({ chain_id: id }, 'an execution has another owner now; this one stops')
        over = true
        return
      }
      if (written.at === CANCEL_AT) at = { ...at, inbox: await readInbox(state, scope, id) }
    }
  }
  function settled(turn: Turn, dueAt: number | undefined): void {
    const { run, results, records, members, inbox, undos } = turn
    at = { ...at, run, results, records, members, inbox, undos }
    for (const child of turn.born) tools.born(at, child)
    for (const orphan of turn.orphans) tools.poke(orphan)
    if (run.cause && !turn.from.run.cause) for (const f of flights.flying.values()) f.stop.abort()
    if (hasEnded(run) || dueAt !== undefined) left(turn.orphans.length > 0)
  }
  /** The claim has ended with what was written. */
  function left(others: boolean): void {
    over = true
    const { run } = at
    if (run.parent && hasEnded(run)) tools.poke(run.parent.id)
    if (others || run.parent || run.lock) tools.woke()
    if (run.limits)
      void wakeParked(state, scope, run).then(
        (woken) => woken && tools.woke(),
        (err: unknown) => env.log.warn({ chain_id: id, err }, 'who waits for a place looks again by itself'),
      )
  }

  /** Where nothing is to be done now: when it has something to do. Undefined: it goes on. */
  function restsUntil(turn: Turn): number | undefined {
    const { run } = turn
    if (hasEnded(run) || flights.flying.size > 0 || run.status === 'pending') return undefined
    if (how.stopping()) return turn.now
    if (run.paused) return turn.now + PAUSED_MS
    if (run.open.length === 0 || run.open.some((t) => canFill(run, t.key))) return undefined
    const due = nextDue(run)
    return due > turn.now ? due : undefined
  }
  function canFill(run: Run, key: string): boolean {
    const group = taskOf(run, key)?.group
    if (!group || group.stopped || run.cause) return false
    const members = membersOf(run, key).length
    return group.next < (group.redo?.length ?? group.total) && members < (at.chain.step(key).group?.atOnce ?? 0)
  }

  async function giveBack(dueAt: number): Promise<void> {
    over = true
    await state.commit(scope, [
      { op: 'touch', kind: kinds.run, id, ifClaim: how.lease.claim, dueAt },
      ...leaveSlots(at.run),
    ])
    left(true)
  }

  if (!(await takePlaces(tools, loaded, how.lease))) return
  while (!over) {
    const { run } = at
    if (how.lease.lost.aborted) return
    if (mail) {
      mail = false
      if (read) at = { ...at, inbox: await readInbox(state, scope, id) }
      read = true
      const { inbox } = at
      if (inbox.length > 0) await settle(absorb)
      continue
    }
    if (run.status === 'pending' && !run.cause) {
      if (!(await take())) return
      continue
    }
    if (run.cause && run.open.length === 0 && run.status !== 'compensating') {
      const due = await readUndos(state, scope, id)
      await settle((turn) => startUndoing(turn, due))
      continue
    }
    const now = clock.now()
    if (now >= run.deadline && !run.cause && !run.paused) {
      await settle((turn) => timeIsUp(turn, stepAt(turn.run)))
      continue
    }
    if (!how.stopping() && !run.paused && (await doDue(now))) continue
    launch()
    if (over) return
    if (flights.flying.size > 0) await news(now)
    else if (how.stopping()) return giveBack(now)
    else if (run.paused) return giveBack(now + PAUSED_MS)
    else if (lacks.size > 0) return giveBack(lackingUntil(now))
    else if (at.run.open.length > 0) return giveBack(Math.max(now, nextDue(at.run)))
    else throw new Error(`execution ${id} is open, and nothing of it is`)
  }

  /** Its lock, and so its time. False: it is not its turn. */
  async function take(): Promise<boolean> {
    const turn = await turnOf(state, scope, at.run, env.newId())
    if (!turn.mine) {
      await giveBack(clock.now() + LOOK_AGAIN_MS)
      return false
    }
    await settle((t) => {
      if (turn.take) t.ops.push(turn.take)
      if (t.run.lock) t.ops.push(outOfLine(t.run.lock))
      begin(t)
    })
    return !over
  }

  /** Begins what is due and ends what has waited long enough, in one commit. False: there is nothing. */
  async function doDue(now: number): Promise<boolean> {
    const due = at.run.open.filter(
      (t) => (dueOf(t) <= now && !isAloft(t.key) && !lacks.has(t.key)) || canFill(at.run, t.key),
    )
    if (due.length === 0) return false
    const hits = new Map<string, StepResult>()
    for (const t of due) {
      if (t.attempt > 0 || !at.chain.step(t.key).cache || t.undo) continue
      const look = new Turn(tools, at, now, { acting: new Set(), holds: false, resumed: flights.resumed })
      const hit = await cached(state, look, t)
      if (hit) hits.set(t.key, hit)
    }
    const before = at
    await settle((turn) => {
      for (const { key } of due) {
        const task = turn.task(key)
        if (!task) continue
        const hit = hits.get(key)
        let lacking: string | undefined
        if (canFill(turn.run, key)) fillGroup(turn, key, openStep)
        else if (task.until !== undefined && task.until <= turn.now && !task.undo) wake(turn, task, { by: 'time' })
        else if (hit) {
          turn.say({ type: 'step_attempted', step: key, attempt: 1 })
          endStep(turn, key, { ...opening(turn.context(task)), cached: true, attempts: 0 }, { result: hit })
        } else lacking = task.undo ? beginUndo(turn, key) : beginStep(turn, key)
        if (lacking !== undefined) lacks.set(key, lacking)
      }
      if (turn.from.chain.graph && !turn.run.cause && !hasEnded(turn.run)) openReady(turn)
    })
    return at !== before
  }
  /** Being acted on, or about to be. */
  function isAloft(key: string): boolean {
    if (flights.flying.has(key)) return true
    const task = taskOf(at.run, key)
    return (
      task !== undefined &&
      task.attempt > 0 &&
      task.notBefore === undefined &&
      at.records.get(key)?.sending !== undefined
    )
  }

  /** Sends off what is rendered and stored. */
  function launch(): void {
    if (how.stopping()) return
    for (const t of at.run.open) {
      if (flights.flying.has(t.key) || t.notBefore !== undefined || !at.records.get(t.key)?.sending) continue
      if (t.attempt === 0) continue
      const flight = flightOf(tools, at, t, how.lease, flights.resumed.delete(t.key))
      flights.flying.set(t.key, flight)
      void flight.ended.then(async (decide) => {
        flights.flying.delete(t.key)
        if (typeof decide === 'function') await settle(decide)
        else if (decide === 'lost') over = true
        else lacks.set(t.key, decide.lacks)
        poke()
      }, failed)
    }
  }
  function failed(err: unknown): void {
    over = true
    env.log.error({ chain_id: id, err }, 'an execution could not go on; it is due again when its claim runs out')
    poke()
  }

  /** Until something has ended, come due or been said. */
  async function news(now: number): Promise<void> {
    const next = Math.min(nextDueAloft(), now + MAIL_MS)
    const look = next === now + MAIL_MS
    const woken = poked.promise
    const timer = Promise.withResolvers<void>()
    const ring = clock.timer(Math.max(0, next - now), () => {
      if (look) mail = true
      timer.resolve()
    })
    await Promise.race([woken, timer.promise])
    ring.cancel()
    await committing
  }
  function nextDueAloft(): number {
    const { run } = at
    const waiting = run.paused ? [] : run.open.filter((t) => !isAloft(t.key)).map(dueOf)
    return Math.min(...waiting, run.cause || run.paused ? Number.POSITIVE_INFINITY : run.deadline)
  }

  function lackingUntil(now: number): number {
    for (const [step, what] of lacks)
      env.log.warn({ chain_id: id, step, lacks: what }, 'an execution waits for what its step needs')
    const wait = LACKING_MS * (1 + env.random.float())
    return Math.min(Math.ceil(now + wait), Math.max(now, at.run.deadline))
  }
}
