/**
 * Time to live over single operations. As on AWS an item is deleted some time after the second its attribute names, and reads
 * give it back until then; an attribute that is no number, or names a second more than five years ago, deletes nothing.
 */
import { z } from 'zod'
import { AwsError, parseBody } from '../wire.ts'
import type { Ask } from './backend.ts'

export interface TimeToLive {
  update(body: string): Promise<object>
  describe(body: string): Promise<object>
  /** Deletes what has expired by `now` (milliseconds); answers how many. */
  sweep(now: number): Promise<number>
}

const PREFIX = 'com.amazonaws.dynamodb.v20120810#'
const invalid = (message: string): AwsError => new AwsError(`${PREFIX}ValidationException`, message)
const FIVE_YEARS_S = 157_680_000

const table = z.looseObject({ TableName: z.string() })
const setting = z.looseObject({
  TableName: z.string(),
  TimeToLiveSpecification: z.strictObject({ Enabled: z.boolean(), AttributeName: z.string().min(1).max(255) }),
})
type Setting = z.infer<typeof setting>['TimeToLiveSpecification']
type Item = Record<string, object>

export const openTimeToLive = (ask: Ask): TimeToLive => {
  /** By table, with the moment it was made: a table that was dropped and made again has no setting. */
  const settings = new Map<string, Setting & { made: number }>()

  const run = async (name: string, input: object): Promise<Record<string, unknown>> => {
    const { status, body } = await ask(name, JSON.stringify(input))
    const answer = JSON.parse(body) as Record<string, unknown>
    if (status === 200) return answer
    throw new AwsError(String(answer.__type), String(answer.message ?? answer.Message ?? ''), status)
  }
  const describe = async (TableName: string) =>
    (await run('DescribeTable', { TableName })).Table as {
      CreationDateTime: number
      KeySchema: { AttributeName: string }[]
    }
  const current = async (name: string): Promise<Setting | undefined> => {
    const { CreationDateTime } = await describe(name)
    const found = settings.get(name)
    return found?.made === CreationDateTime ? found : undefined
  }

  async function sweepTable(TableName: string, attribute: string, now: number): Promise<number> {
    const { KeySchema } = await describe(TableName)
    const second = Math.floor(now / 1000)
    const condition = {
      ExpressionAttributeNames: { '#ttl': attribute },
      ExpressionAttributeValues: { ':now': { N: String(second) }, ':old': { N: String(second - FIVE_YEARS_S) } },
    }
    const expired = '#ttl < :now AND #ttl > :old'
    let gone = 0
    for (let from: unknown, more = true; more; ) {
      const page = await run('Scan', {
        TableName,
        FilterExpression: expired,
        ...condition,
        ...(from === undefined ? {} : { ExclusiveStartKey: from }),
      })
      for (const item of page.Items as Item[]) {
        const Key = Object.fromEntries(KeySchema.map(({ AttributeName }) => [AttributeName, item[AttributeName]]))
        try {
          // Under its condition: it may have been renewed since it was seen.
          await run('DeleteItem', { TableName, Key, ConditionExpression: expired, ...condition })
          gone++
        } catch (error) {
          if (!(error instanceof AwsError) || !error.code.endsWith('#ConditionalCheckFailedException')) throw error
        }
      }
      from = page.LastEvaluatedKey
      more = from !== undefined
    }
    return gone
  }

  return {
    update: async (body) => {
      const parsed = setting.safeParse(parseBody(body))
      if (!parsed.success) throw invalid('TimeToLiveSpecification with Enabled and AttributeName is required')
      const { TableName, TimeToLiveSpecification: wanted } = parsed.data
      const { CreationDateTime } = await describe(TableName)
      const was = await current(TableName)
      if ((was?.Enabled ?? false) === wanted.Enabled)
        throw invalid(`TimeToLive is already ${wanted.Enabled ? 'enabled' : 'disabled'}`)
      settings.set(TableName, { ...wanted, made: CreationDateTime })
      return { TimeToLiveSpecification: wanted }
    },
    describe: async (body) => {
      const parsed = table.safeParse(parseBody(body))
      if (!parsed.success) throw invalid('TableName is required')
      const set = await current(parsed.data.TableName)
      return {
        TimeToLiveDescription: set?.Enabled
          ? { TimeToLiveStatus: 'ENABLED', AttributeName: set.AttributeName }
          : { TimeToLiveStatus: 'DISABLED' },
      }
    },
    sweep: async (now) => {
      let gone = 0
      for (const [name, { Enabled, AttributeName }] of settings) {
        if (!Enabled) continue
        try {
          gone += await sweepTable(name, AttributeName, now)
        } catch (error) {
          if (!(error instanceof AwsError) || !error.code.endsWith('#ResourceNotFoundException')) throw error
          settings.delete(name)
        }
      }
      return gone
    },
  }
}
