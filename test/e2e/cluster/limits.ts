import type { JsonObject } from '../../../src/core/json.ts'
import type { Receiver } from '../receiver.ts'
import { sleep } from '../run.ts'

/*
 * What must hold of limits however many gateways count, and whatever happens to them: never more than the limit, and no source that
 * keeps to it is refused.
 */
const MAX = 10
const WINDOW_SECONDS = 2
const CROWD = 6
/** Well under the limit: one in so many milliseconds. */
const CALM_MS = 400

export const limitRules = `
  - name: rate
    priority: 1
    condition: { field: action.payload.key, exists: true }
    action: { type: throttle, max_count: ${MAX}, window_seconds: ${WINDOW_SECONDS}, key: [payload.key] }
`

export interface Limits {
  up(bases: readonly string[]): void
  end(): Promise<void>
  /** Whether something of each kind has arrived, and each limit has said no: else nothing is tested. */
  allMet(hook: Receiver): boolean
  /** What was wrong, by what the clients were told and what the receiver has seen. */
  wrong(hook: Receiver): readonly string[]
  readonly told: string
}

/** A crowd that sends under one throttle key as fast as it is answered, one that does under a quota of so many, and a source that keeps to the limit. */
export function startLimits(seed: number, quota: number): Limits {
  let bases: readonly string[] = []
  let over = false
  let n = 0
  const began = performance.now()
  const counts: { [what: string]: number } = {}
  const refused: string[] = []

  async function send(tenant: string, key: string | undefined, me: number): Promise<number | undefined> {
    const base = bases[(seed + me + n) % Math.max(1, bases.length)]
    if (base === undefined) return undefined
    const id = `${tenant}-${key}-${++n}`
    const action = {
      id,
      tenant,
      action_type: 'limited',
      provider: 'limited',
      payload: { n: id, ...(key !== undefined && { key }) },
    }
    try {
      const answer = await fetch(`${base}/v1/dispatch`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(action),
        signal: AbortSignal.timeout(10_000),
      })
      const body = (await answer.json()) as JsonObject
      const what = `${[tenant, ...(key ? [key] : [])].join(' ')} ${answer.status}`
      counts[what] = (counts[what] ?? 0) + 1
      if (key === 'calm' && answer.status === 429) refused.push(JSON.stringify(body))
      return answer.status
    } catch (e) {
      if (!(e instanceof TypeError || e instanceof DOMException || e instanceof SyntaxError)) throw e
      return undefined
    }
  }
  const client = async (me: number, tenant: string, key: string | undefined, everyMs: number): Promise<void> => {
    while (!over) {
      await send(tenant, key, me)
      await sleep(everyMs)
    }
  }
  const running = Promise.all([
    client(0, 'rates', 'calm', CALM_MS),
    ...Array.from({ length: CROWD }, (_, i) => client(i + 1, 'rates', 'hot', 30)),
    ...Array.from({ length: 2 }, (_, i) => client(i + 20, 'quotas', undefined, 60)),
  ])
  running.catch(() => undefined)
  const refusals = (of: string): number => counts[`${of} 429`] ?? 0
  let tookMs = 0
  const arrivedOf = (hook: Receiver) => {
    const all = hook.bodies('/limited').map((b) => String((b['payload'] as JsonObject)['n']))
    const arrived = (like: string): number => all.filter((n) => n.startsWith(like)).length
    return { hot: arrived('rates-hot'), calm: arrived('rates-calm'), quota: arrived('quotas') }
  }
  return {
    up(at) {
      bases = at
    },
    async end() {
      over = true
      await running
      tookMs = performance.now() - began
    },
    allMet: (hook) =>
      Object.values(arrivedOf(hook)).every((n) => n > 0) && refusals('rates hot') > 0 && refusals('quotas') > 0,
    wrong(hook) {
      const most = MAX * (Math.ceil(tookMs / (WINDOW_SECONDS * 1000)) + 1)
      const seen = arrivedOf(hook)
      return [
        ...refused.map((r) => `a source within the limit was refused: ${r}`),
        ...(seen.hot > most ? [`${seen.hot} passed a limit of ${most}`] : []),
        ...(seen.quota > quota ? [`${seen.quota} passed a quota of ${quota}`] : []),
      ]
    },
    get told() {
      return JSON.stringify(counts)
    },
  }
}

export const quotaBody = (quota: number) => ({ tenant: 'quotas', max_actions: quota, window: 86_400 })
export const tickBody = {
  tenant: 'ticks',
  action_type: 'tick',
  provider: 'ticks',
  cron_expression: '* * * * * *',
  payload: { at: '{{execution_time}}' },
}

/** Occurrences that came twice; each is one action, whoever made it. */
export function twice(hook: Receiver): readonly string[] {
  const seen = new Map<string, number>()
  for (const b of hook.bodies('/ticks')) {
    const at = String((b['payload'] as JsonObject)['at'])
    seen.set(at, (seen.get(at) ?? 0) + 1)
  }
  return [...seen].filter(([, n]) => n > 1).map(([at, n]) => `the occurrence of ${at} came ${n} times`)
}
