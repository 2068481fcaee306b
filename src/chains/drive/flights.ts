import { ABORTED } from '../../core/clock.ts'
import type { Turn } from '../decide/turn.ts'
import { isAloft } from '../model/due.ts'
import type { Loaded } from '../model/loaded.ts'
import type { StepRecord, Task } from '../model/run.ts'
import type { Driver, Driving } from './driver.ts'
import { type Flight, type FlightEnd, flightOf } from './flight.ts'

/** How long an execution waits for a node that has what its step needs. */
const LACKING_MS = 5000

/** Who is told of the end of a flight. */
export interface Ground {
  /** Stores what it came to. */
  land(key: string, decide: (turn: Turn) => void): Promise<void>
  /** The claim is lost. */
  lost(): void
  failed(err: unknown): void
  /** Something has changed. */
  ring(): void
}

/** All that is being acted on here at this moment, and what this node lacks for the rest. */
export class Flights {
  readonly #tools: Driver
  readonly #how: Driving
  readonly #flying = new Map<string, Flight>()
  readonly #lacks = new Map<string, number>()
  readonly #lost = new AbortController()
  /** Stored by an earlier claim, so an attempt may have been made that nobody saw the end of. */
  readonly resumed: Set<string>

  constructor(tools: Driver, { run, records }: Loaded, how: Driving) {
    this.#tools = tools
    this.#how = how
    const aloft = how.fresh ? [] : run.open.filter((t) => isAloft(t, records.get(t.key)))
    this.resumed = new Set(aloft.map((t) => t.key))
    const { lost } = how.lease
    if (lost.aborted) this.lose()
    else lost.addEventListener('abort', () => this.lose(), { once: true })
  }

  keys(): Iterable<string> {
    return this.#flying.keys()
  }
  get size(): number {
    return this.#flying.size
  }
  stop(key?: string): void {
    if (key !== undefined) this.#flying.get(key)?.stop.abort(ABORTED)
    else for (const f of this.#flying.values()) f.stop.abort(ABORTED)
  }
  lose(): void {
    this.#lost.abort(ABORTED)
  }

  /** This node lacks what the step needs; it is looked at again after a while. */
  lack(at: Loaded, key: string, what: string): void {
    const { clock, random, log } = this.#tools.env
    log.warn({ chain_id: at.run.id, step: key, lacks: what }, 'an execution waits for what its step needs')
    this.#lacks.set(key, Math.ceil(clock.now() + LACKING_MS * (1 + random.float())))
  }
  /** When to look again whether this node has what the step needs; undefined: it may be begun. */
  lacksUntil(key: string, now: number): number | undefined {
    const until = this.#lacks.get(key)
    return until !== undefined && until > now ? until : undefined
  }

  /** It goes to a provider that may take its time, or to the rules, and so maybe to one. */
  takesLong(record: StepRecord | undefined): boolean {
    const provider = record?.sending?.provider
    const { deliver } = this.#tools
    return provider !== undefined && (!deliver.has(provider) || deliver.hasEffect(provider))
  }

  /** Sends off what is rendered and stored; `seated`: also what takes long. What has ended is flying until that is stored, so that it is not sent again. */
  launch(at: Loaded, now: number, ground: Ground, seated: boolean): void {
    for (const t of at.run.open) {
      const record = at.records.get(t.key)
      if (this.#flying.has(t.key) || !isAloft(t, record) || (!seated && this.takesLong(record))) continue
      if (this.lacksUntil(t.key, now) === undefined) this.#launch(at, t, ground)
    }
  }
  #launch(at: Loaded, task: Task, ground: Ground): void {
    const { key } = task
    const resuming = this.resumed.delete(key)
    const flight = flightOf(this.#tools, at, task, this.#how.lease, { resuming, lost: this.#lost.signal })
    this.#flying.set(key, flight)
    const landed = async (end: FlightEnd): Promise<void> => {
      if (end === 'lost') ground.lost()
      else if (typeof end === 'function') await ground.land(key, end)
      else {
        // What nobody saw the end of is still that.
        if (resuming) this.resumed.add(key)
        this.lack(at, key, end.lacks)
      }
      this.#flying.delete(key)
      ground.ring()
    }
    flight.ended.then(landed).catch(ground.failed)
  }
}
