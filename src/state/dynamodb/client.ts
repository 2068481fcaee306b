import type { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import type { Clock } from '../../core/clock.ts'
import { StateUnavailable, StateUnknown } from '../../core/errors.ts'
import type { Random } from '../../core/ids.ts'
import { type Fate, fateOf, sayError } from './failure.ts'

export type Sdk = typeof import('@aws-sdk/client-dynamodb')

export interface Patience {
  /** For one answer. */
  readonly requestMs: number
  /** For all attempts of a call together. */
  readonly deadlineMs: number
}
export const PATIENCE: Patience = { requestMs: 2000, deadlineMs: 10_000 }

export interface ClientOptions {
  readonly endpoint: string | undefined
  readonly region: string
  /** Of this machine: for patience alone. */
  readonly clock: Clock
  readonly random: Random
  readonly patience?: Patience | undefined
  /** Told of the moment an answer says it was made, a whole second, and of when it was asked for and came. */
  readonly onDate?: (dateMs: number, from: number, to: number) => void
}

/** A request failed; what became of it, and the SDK's error. */
export class Failed extends Error {
  override readonly name = 'Failed'
  readonly fate: Fate
  constructor(fate: Fate, cause: unknown) {
    super(sayError(cause), { cause })
    this.fate = fate
  }
}

export interface Client {
  readonly sdk: Sdk
  /** Requests sent so far. */
  readonly sent: number
  /** Why the store was not reached last; undefined = it was. */
  readonly trouble: string | undefined
  /** One attempt. Rejects with Failed. */
  once<T>(ask: (db: DynamoDBClient, options: { readonly abortSignal: AbortSignal }) => Promise<T>): Promise<T>
  /** A call's patience: `again` waits and answers whether there is any left. */
  patience(): Waiting
  /** A read: asked again while it may be answered. Rejects with StateUnavailable. */
  read<T>(ask: (db: DynamoDBClient, options: { readonly abortSignal: AbortSignal }) => Promise<T>): Promise<T>
  close(): void
}
export interface Waiting {
  /** There is none left. */
  readonly over: boolean
  /** `ms`: so long; else each time longer, with jitter. */
  again(ms?: number): Promise<boolean>
}

/** Local stand-ins accept anything; the standard chain would look for a machine's role first. */
const LOCAL = { accessKeyId: 'test', secretAccessKey: 'test' }
const CONNECT_MS = 1500
const MAX_SOCKETS = 64
const BACKOFF = { firstMs: 10, mostMs: 500 }

/** The SDK's client with our own patience: it tries once, and what is tried again is decided where it is known what that means. */
export async function openClient(opts: ClientOptions): Promise<Client> {
  const { clock, random, patience = PATIENCE } = opts
  const sdk = await import('@aws-sdk/client-dynamodb')
  const local =
    opts.endpoint !== undefined &&
    process.env['AWS_ACCESS_KEY_ID'] === undefined &&
    process.env['AWS_PROFILE'] === undefined
  const sockets = { keepAlive: true, maxSockets: MAX_SOCKETS }
  const db = new sdk.DynamoDBClient({
    region: opts.region,
    maxAttempts: 1,
    requestHandler: { connectionTimeout: CONNECT_MS, httpAgent: sockets, httpsAgent: sockets },
    ...(opts.endpoint !== undefined && { endpoint: opts.endpoint }),
    ...(local && { credentials: LOCAL }),
  })
  // It makes what it would say of each request before it sees that nobody listens.
  db.middlewareStack.remove('loggerMiddleware')
  if (opts.onDate) watchDates(db, clock, opts.onDate)
  let sent = 0
  let trouble: string | undefined

  let free = MAX_SOCKETS
  const waitingForOne = new Set<(got: boolean) => void>()
  /** A place among the requests under way: what waits for one has not been sent, which a timeout could not say. */
  function place(): Promise<boolean> {
    if (free > 0) {
      free--
      return Promise.resolve(true)
    }
    return new Promise((resolve) => {
      const done = (got: boolean) => {
        timer.cancel()
        waitingForOne.delete(done)
        resolve(got)
      }
      const timer = clock.timer(patience.requestMs, () => done(false))
      waitingForOne.add(done)
    })
  }
  function leave(): void {
    const [next] = waitingForOne
    if (next === undefined) free++
    else next(true)
  }

  async function once<T>(ask: Parameters<Client['once']>[0]): Promise<T> {
    if (!(await place())) throw new Failed('throttled', new Error('too many requests are under way'))
    const abort = new AbortController()
    const timer = clock.timer(patience.requestMs, () => abort.abort(new Error('no answer in time')))
    sent++
    try {
      const answer = (await ask(db, { abortSignal: abort.signal })) as T
      trouble = undefined
      return answer
    } catch (e) {
      const fate = abort.signal.aborted ? 'ambiguous' : fateOf(e)
      const failed = new Failed(fate, abort.signal.aborted ? new Error(`no answer within ${patience.requestMs} ms`) : e)
      trouble = fate === 'condition' || fate === 'conflict' ? undefined : failed.message
      throw failed
    } finally {
      timer.cancel()
      leave()
    }
  }
  function waiting(): Waiting {
    const until = clock.now() + patience.deadlineMs
    let longest = BACKOFF.firstMs
    return {
      get over() {
        return clock.now() >= until
      },
      async again(given) {
        const ms = given ?? longest / 2 + (random.float() * longest) / 2
        if (given === undefined) longest = Math.min(longest * 2, BACKOFF.mostMs)
        if (clock.now() + ms >= until) return false
        await clock.sleep(ms)
        return true
      },
    }
  }

  return {
    sdk,
    once,
    patience: waiting,
    async read(ask) {
      const wait = waiting()
      for (;;) {
        try {
          return await once(ask)
        } catch (e) {
          if (!(e instanceof Failed)) throw e
          const more = e.fate === 'throttled' || e.fate === 'conflict' || e.fate === 'ambiguous'
          if (!more || !(await wait.again())) throw unavailable(e)
        }
      }
    },
    get sent() {
      return sent
    },
    get trouble() {
      return trouble
    },
    close: () => db.destroy(),
  }
}

export const unavailable = (e: Failed): StateUnavailable =>
  new StateUnavailable(`DynamoDB does not do it: ${e.message}`, { cause: e })
export const unknown = (e: Failed): StateUnknown =>
  new StateUnknown(`DynamoDB may have done it: ${e.message}`, { cause: e })

/** Answers carry the store's time. */
function watchDates(db: DynamoDBClient, clock: Clock, onDate: NonNullable<ClientOptions['onDate']>): void {
  db.middlewareStack.add(
    (next) => async (args) => {
      const from = clock.now()
      const answer = await next(args)
      const { headers } = answer.response as { headers?: Record<string, string> }
      const date = Date.parse(headers?.['date'] ?? '')
      if (!Number.isNaN(date)) onDate(date, from, clock.now())
      return answer
    },
    { step: 'deserialize', priority: 'low', name: 'signalboxDates' },
  )
}
