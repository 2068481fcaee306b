import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { ACCOUNT, AwsError, type Json } from '../wire.ts'
import { type Buses, busName } from './buses.ts'
import { matchesPattern } from './pattern.ts'
import { deliver, type Targets } from './targets.ts'

export const putEventsInput = z.looseObject({
  Entries: z
    .array(
      z.looseObject({
        Source: z.string().optional(),
        DetailType: z.string().optional(),
        Detail: z.string().optional(),
        EventBusName: z.string().optional(),
        Resources: z.array(z.string()).optional(),
        Time: z.union([z.number(), z.string()]).optional(),
      }),
    )
    .min(1)
    .max(10),
})
export type Entry = z.infer<typeof putEventsInput>['Entries'][number]
type PutResult = { EventId: string } | { ErrorCode: string; ErrorMessage: string }

const MAX_BYTES = 262_144
const MAX_HOPS = 8

const size = ({ Source = '', DetailType = '', Detail = '', Resources = [] }: Entry): number =>
  [Source, DetailType, Detail, ...Resources].reduce((sum, text) => sum + Buffer.byteLength(text), 0)

/** One bad entry fails alone. Delivery goes on after the answer, as on AWS. */
export const putEvents = (buses: Buses, entries: Entry[], targets: Targets, hops = 0) => {
  if (entries.reduce((sum, entry) => sum + size(entry), 0) > MAX_BYTES)
    throw new AwsError('ValidationException', 'Total size of the entries in the request is over the limit.')
  const results = entries.map((entry): PutResult => {
    const refusal = refuse(entry)
    if (refusal) return refusal
    const id = randomUUID()
    dispatch(buses, entry, id, targets, hops)
    return { EventId: id }
  })
  return { FailedEntryCount: results.filter((result) => 'ErrorCode' in result).length, Entries: results }
}

const refuse = (entry: Entry): { ErrorCode: string; ErrorMessage: string } | undefined => {
  for (const name of ['Source', 'DetailType', 'Detail'] as const)
    if (!entry[name]) {
      const reason = `Parameter ${name} is not valid. Reason: ${name} is a required argument.`
      return { ErrorCode: 'InvalidArgument', ErrorMessage: reason }
    }
  const malformed = { ErrorCode: 'MalformedDetail', ErrorMessage: 'Detail is malformed.' }
  try {
    const detail: unknown = JSON.parse(entry.Detail ?? '')
    return typeof detail === 'object' && detail !== null && !Array.isArray(detail) ? undefined : malformed
  } catch {
    return malformed
  }
}

/** An event for a bus that is not there is accepted and lost, as on AWS. */
const dispatch = (buses: Buses, entry: Entry, id: string, targets: Targets, hops: number): void => {
  const bus = buses.all.get(busName(entry.EventBusName))
  if (!bus || hops > MAX_HOPS) return
  const time = typeof entry.Time === 'number' ? entry.Time * 1000 : (entry.Time ?? Date.now())
  const event: Json = {
    version: '0',
    id,
    'detail-type': entry.DetailType ?? '',
    source: entry.Source ?? '',
    account: ACCOUNT,
    time: new Date(time).toISOString().replace(/\.\d+Z$/, 'Z'),
    region: buses.region,
    resources: entry.Resources ?? [],
    detail: JSON.parse(entry.Detail ?? '{}') as Json,
  }
  const onward: Targets = {
    ...targets,
    putEvent: async (busArn) => void putEvents(buses, [{ ...entry, EventBusName: busArn }], targets, hops + 1),
  }
  for (const rule of bus.rules.values()) {
    if (rule.State === 'DISABLED' || rule.pattern === undefined || !matchesPattern(rule.pattern, event)) continue
    for (const target of rule.targets.values()) void deliver(onward, target, event, rule)
  }
}
