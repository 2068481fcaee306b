import { kinds } from '../../core/hold.ts'
import { timeIsUp } from '../decide/advance.ts'
import { begin } from '../decide/begin.ts'
import { cached } from '../decide/cache.ts'
import { takeUp } from '../decide/take-up.ts'
import type { Turn } from '../decide/turn.ts'
import { startUndoing } from '../decide/undo.ts'
import { canFill, dueOf, isAloft, nextDue, timeEnds } from '../model/due.ts'
import { type Loaded, readUndos } from '../model/loaded.ts'
import { LOOK_AGAIN_MS, outOfLine, turnOf } from '../model/lock.ts'
import { type Run, type StepResult, stepAt, type Task } from '../model/run.ts'
import { createBell } from './bell.ts'
import type { Driver, Driving } from './driver.ts'
import { Flights } from './flights.ts'
import { AHEAD_MS } from './places.ts'
import type { Seat } from './seats.ts'
import { Turns } from './turns.ts'

/*
 * 1 One writer: every commit puts the execution under the claim it is driven by. Others leave messages and wake it.
 * 2 Its record is the fold of its history, and a step's result is in the same commit.
 * 3 What a step sends is stored before its first byte; after a crash the same bytes go out under the same token.
 * 4 A child is a function of parent, step, iteration and attempt, born in the commit that makes its parent wait.
 * 5 Every commit asks that no cancel has come that was not looked at; a terminal status is final.
 * 6 It is always due: while claimed when the claim runs out, else when it has something to do, at its deadline at the latest.
 * 7 Commits come one after another (turns.ts); what is acted on at once ends in any order (flights.ts), each in a commit of its own.
 */

/** Messages of other nodes to an execution that is acting here are looked for so often. */
const MAIL_MS = 5000

/** Drives an execution as far as it goes: to its end, to a wait, or until it is handed back or its claim is lost. */
export async function drive(tools: Driver, loaded: Loaded, how: Driving): Promise<void> {
  const { env, state } = tools
  const { clock } = env
  const { scope, chain } = loaded
  const { id } = loaded.run
  const bell = createBell(clock)
  const flights = new Flights(tools, loaded, how)
  const turns = new Turns(tools, loaded, how, flights)
  how.reach({
    mail() {
      turns.look()
      bell.ring()
    },
    stop() {
      flights.stop()
      bell.ring()
    },
  })
  const ground = {
    land: (key: string, decide: (turn: Turn) => void) => turns.take(decide, key),
    lost: () => turns.end(),
    failed(err: unknown) {
      env.log.error({ chain_id: id, err }, 'an execution could not go on; it is due again when its claim runs out')
      turns.end()
      bell.ring()
    },
    ring: bell.ring,
  }
  try {
    while (!turns.over && !how.lease.lost.aborted) await goOn()
  } finally {
    turns.end()
  }

  /** The next thing to be done, whatever it is; or waits for one. */
  async function goOn(): Promise<void> {
    if (turns.mail) return turns.absorb()
    const { at } = turns
    const { run } = at
    const now = clock.now()
    const isEnding = run.cause !== undefined && run.open.length === 0 && run.status !== 'compensating' && !run.paused
    if (isEnding) return undo()
    // Also where it ends: what is below it waits for its lock to undo what it did.
    if (run.status === 'pending') return run.paused ? giveBack(restsUntil(now)) : turns.take(takeLock)
    if (isLate(run, now))
      return turns.take((turn) => (turn.run.cause || turn.complete ? undefined : timeIsUp(turn, stepAt(turn.run))))
    if (runsOut(run, now)) return turns.look()
    let seated: ReturnType<Seat['ask']> | undefined
    if (!how.stopping()) {
      if (isAtWork(run, now) && !(await takePlace())) return
      if (!run.paused && (await doDue(now))) return
      seated = await turns.between(() => launch(now))
    }
    // Something has ended meanwhile: what is to be done is looked at anew.
    if (turns.over || turns.at !== at) return
    if (flights.size === 0 && seated !== 'wait')
      return giveBack(seated === 'full' ? now - AHEAD_MS[run.priority] : restsUntil(now), seated === 'full')
    const mailAt = now + MAIL_MS
    await bell.wait(Math.min(mailAt, nextMoment(now)))
    if (clock.now() >= mailAt) turns.look()
  }

  /** What waits for a signal has waited long enough: one that was sent in time counts, so that is looked at first. */
  function runsOut(run: Run, now: number): boolean {
    return run.open.some((t) => {
      const due = dueOf(run, t)
      return (t.signal !== undefined || t.group) && due <= now && turns.readAt < due
    })
  }

  /** Its lock, and so its time; or it is not its turn. */
  async function takeLock(turn: Turn): Promise<void> {
    const got = await turns.ask(() => turnOf(state, scope, turn.run, env.newId()))
    if (!got) return
    if (!got.answer.mine) return giveBack(clock.now() + LOOK_AGAIN_MS)
    if (!(await takePlace())) return
    if (got.answer.take) turn.ops.push(got.answer.take)
    if (turn.run.lock) turn.ops.push(outOfLine(turn.run.lock))
    begin(turn)
  }
  /** What it must be inside of while it is at work. False: it is parked. */
  async function takePlace(): Promise<boolean> {
    const got = await turns.ask(() => how.places.take(turns.at.run))
    if (!got?.answer) turns.end()
    return got?.answer === true
  }
  /** Sends off what may go: what takes long needs a seat. */
  function launch(now: number): ReturnType<Seat['ask']> {
    const seated = sends() ? how.seat.ask(bell.ring) : 'taken'
    flights.launch(turns.at, now, ground, seated === 'taken')
    return seated
  }
  /** Something is to go to a provider, which may take long. */
  function sends(): boolean {
    const { run, records } = turns.at
    return run.open.some((t) => isAloft(t, records.get(t.key)) && flights.takesLong(records.get(t.key)))
  }
  /** Something is to be begun or sent. */
  function isAtWork(run: Run, now: number): boolean {
    const { records } = turns.at
    return run.open.some((t) => isAloft(t, records.get(t.key)) || (!run.paused && isDue(t, now)))
  }
  function isDue(t: Task, now: number): boolean {
    const { run, records } = turns.at
    if (canFill(run, chain, t.key)) return true
    return dueOf(run, t) <= now && !isAloft(t, records.get(t.key)) && flights.lacksUntil(t.key, now) === undefined
  }
  function undo(): Promise<void> {
    return turns.take(async (turn) => {
      const due = await turns.ask(() => readUndos(state, scope, id))
      if (!due) return
      // One that was brought back has lost its lock: another of its entity may be at work.
      if (turn.run.status === 'pending' && due.answer.length > 0) return takeLock(turn)
      startUndoing(turn, due.answer)
    })
  }
  /** Its time is up; or it was, and there is still something that an earlier claim may have sent. */
  function isLate(run: Run, now: number): boolean {
    if (now < run.deadline || run.paused || run.status === 'compensating') return false
    return run.cause ? flights.resumed.size > 0 : timeEnds(run, now) <= now
  }

  /** Begins what is due and ends what has waited long enough, in one commit. False: there is nothing. */
  async function doDue(now: number): Promise<boolean> {
    const due = turns.at.run.open.filter((t) => isDue(t, now))
    if (due.length === 0) return false
    const before = turns.at
    await turns.take(async (turn) => {
      const hits = await lookUp(turn, due)
      const lacks = takeUp(turn, due, hits)
      for (const [key, what] of lacks) flights.lack(turns.at, key, what)
    })
    return turns.at !== before
  }
  /** What caches have for those about to be begun for the first time. */
  async function lookUp(turn: Turn, due: readonly Task[]): Promise<ReadonlyMap<string, StepResult>> {
    const hits = new Map<string, StepResult>()
    for (const t of due) {
      if (t.attempt > 0 || t.undo || !chain.step(t.key).cache) continue
      const hit = await turns.ask(() => cached(state, turn, t))
      if (hit?.answer) hits.set(t.key, hit.answer)
    }
    return hits
  }

  /** When something has to be looked at that is not being acted on. */
  function nextMoment(now: number): number {
    const { run, records } = turns.at
    if (how.stopping() || run.paused) return Number.POSITIVE_INFINITY
    const moments = run.open.map(
      (t) =>
        flights.lacksUntil(t.key, now) ?? (isAloft(t, records.get(t.key)) ? Number.POSITIVE_INFINITY : dueOf(run, t)),
    )
    return Math.min(...moments, run.cause ? Number.POSITIVE_INFINITY : timeEnds(run, now))
  }
  /** Nothing is acted on: when it is due. */
  function restsUntil(now: number): number {
    if (how.stopping()) return now
    const { run } = turns.at
    const lacking = run.open.flatMap((t) => flights.lacksUntil(t.key, now) ?? [])
    const due = nextDue(run, now, (t) => flights.lacksUntil(t.key, now) !== undefined)
    return Math.max(now, Math.min(due, ...lacking))
  }
  async function giveBack(dueAt: number, full = false): Promise<void> {
    const { run, records } = turns.at
    const isUnsent = (t: Task) => isAloft(t, records.get(t.key)) && !flights.resumed.has(t.key)
    // Counted and stored, and never sent: whoever takes it up need not think that it may have been.
    if ((full || how.stopping()) && run.open.some(isUnsent))
      return turns.take((turn) => {
        const not_before = turn.now
        for (const t of turn.run.open)
          if (isUnsent(t)) turn.say({ type: 'step_backed_off', step: t.key, not_before, unmade: true })
        turn.givesBack = dueAt
      })
    const touch = { op: 'touch', kind: kinds.run, id, ifClaim: how.lease.claim, dueAt } as const
    await turns.ask(() => state.commit(scope, [touch, ...how.places.leave()]))
    const lacks = turns.at.run.open.some((t) => flights.lacksUntil(t.key, clock.now()) !== undefined)
    if (lacks) tools.lacked()
    turns.left(true, lacks ? undefined : dueAt)
  }
}
