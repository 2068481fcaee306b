import { StateUnavailable } from '../core/errors.ts'
import { uuidv7Source } from '../core/ids.ts'
import { type Client, Failed, openClient, unavailable } from './dynamodb/client.ts'
import { openDates } from './dynamodb/dates.ts'
import { openStores } from './dynamodb/store.ts'
import { ensureTables, type Tables } from './dynamodb/tables.ts'
import type { OpenStore, StoreSettings } from './opened.ts'
import { throughOutbox } from './outbox.ts'
import { type StoreClock, serverClock } from './store-clock.ts'

const PREFIX = 'signalbox'
const STATE = '_state'
const AUDIT = '_audit'

/**
 * State and audit in two tables: `<prefix>_state` (or `table_name`) and its `_audit`. At an endpoint of its own, as a local one has, they
 * are made on demand; on AWS `signalbox migrate` makes them.
 */
export const openDynamo: OpenStore = async (settings, tools) => {
  const endpoint = settings.url
  const region = settings.region ?? process.env['AWS_REGION'] ?? process.env['AWS_DEFAULT_REGION']
  if (endpoint !== undefined && !/^https?:$/.test(URL.parse(endpoint)?.protocol ?? ''))
    throw new StateUnavailable('state.url is no address of a DynamoDB: http://host:port')
  if (region === undefined && endpoint === undefined)
    throw new StateUnavailable('state.region is missing: DynamoDB needs one, there or in AWS_REGION')
  const tables = tablesOf(settings)
  const dates = openDates()
  const client = await openClient({
    endpoint,
    region: region ?? 'us-east-1',
    clock: tools.clock,
    random: tools.random,
    onDate: dates.seen,
  })
  let clock: StoreClock | undefined
  const make = tools.migrate === true || endpoint !== undefined
  try {
    await ensureTables(client, tables, make, (ms) => tools.clock.sleep(ms))
    const time = await serverClock('DynamoDB', tools, async (local) => {
      await look(client, tables)
      return local.now() + (dates.offset() ?? 0)
    })
    clock = time
    const { state, audit } = await openStores({
      client,
      tables,
      clock: time,
      newId: uuidv7Source(time.now, tools.random),
      through: tools.auditElsewhere ? throughOutbox(time.now, tools.handOver) : undefined,
    })
    return {
      state: {
        ...state,
        close: () => {
          time.stop()
          return state.close()
        },
      },
      audit: tools.auditElsewhere ? undefined : audit,
      spills: true,
      clock: time,
      clockOffsetMs: () => time.offsetMs,
      trouble: () => client.trouble ?? time.unsteady(),
      where: `DynamoDB tables ${tables.state} and ${tables.audit} ${endpoint === undefined ? `in ${region}` : `at ${shown(endpoint)}`}`,
    }
  } catch (e) {
    clock?.stop()
    client.close()
    throw e instanceof Failed ? unavailable(e) : e
  }
}

/** One name says the other: an audit by itself is named by its own table. */
export function tablesOf({ tableName, auditTableName, prefix }: Partial<StoreSettings>): Tables {
  const audit = auditTableName ?? (tableName?.endsWith(AUDIT) ? tableName : undefined)
  const start = baseOf(tableName, STATE) ?? baseOf(audit, AUDIT) ?? prefix ?? PREFIX
  return {
    state: tableName !== undefined && tableName !== audit ? tableName : start + STATE,
    audit: audit ?? start + AUDIT,
  }
}
/** A name without what it ends in, whole where it ends in something else. */
function baseOf(name: string | undefined, end: string): string | undefined {
  if (name === undefined || (end === STATE && name.endsWith(AUDIT))) return undefined
  return name.endsWith(end) ? name.slice(0, -end.length) : name
}

/** The smallest question, for its answer's date, and for whether there is one. */
async function look(client: Client, { state }: Tables): Promise<void> {
  try {
    await client.once((db, o) =>
      db.send(new client.sdk.GetItemCommand({ TableName: state, Key: { pk: { S: '.' }, sk: { S: '.' } } }), o),
    )
  } catch (e) {
    throw e instanceof Failed ? unavailable(e) : e
  }
}

function shown(endpoint: string): string {
  const url = URL.parse(endpoint)
  return url === null ? endpoint : url.host
}
