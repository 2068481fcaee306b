import { StateUnavailable } from '../../core/errors.ts'
import { sha256 } from '../../core/ids.ts'
import type { Ask } from './connections.ts'
import { batch } from './sql/batch.ts'
import { BUFFERS } from './sql/buffers.ts'
import { claims } from './sql/claims.ts'
import { ENTRIES } from './sql/entries.ts'
import { GUARDS } from './sql/guards.ts'
import { plain } from './sql/plain.ts'
import { tables } from './sql/tables.ts'
import { trail } from './sql/trail.ts'

/** Of the tables. */
const VERSION = 1

const functionsOf = (schema: string): string =>
  ENTRIES + GUARDS + BUFFERS + plain(schema) + batch(schema) + claims(schema) + trail(schema)

/** Two who start at once make it one after the other. */
const MIGRATION_LOCK = 7_316_290_114

/**
 * Makes the tables where there are none and brings the functions to this version, in one transaction. Nodes of a version before go on
 * beside it, and one that starts again brings its own functions back: so what comes to mean something else is called something else. A schema that a newer version has
 * made is refused: what this one would write there is anybody's guess. Answers what tells this schema's audit from any other.
 */
export async function migrate(ask: Ask, schema: string): Promise<string> {
  const functions = functionsOf(schema)
  const digest = sha256(functions)
  const found = await versionOf(ask, schema)
  if (found !== undefined && found.version > VERSION)
    throw new StateUnavailable(
      `the schema ${schema} was written by a newer version (schema ${found.version}, this one knows ${VERSION})`,
    )
  if (found?.version === VERSION && found.functions === digest) return found.began
  // One message, so one transaction, also where a pooler gives each transaction another connection. A session of a pooler may remember
  // from an earlier one that there is no such schema: it hears of what others have made when it takes a lock on a table.
  await ask(`SELECT pg_advisory_xact_lock(${MIGRATION_LOCK});
    SELECT FROM pg_namespace LIMIT 0;
    CREATE SCHEMA IF NOT EXISTS ${schema};
    SELECT set_config('search_path', '${schema}, pg_temp', true), set_config('client_min_messages', 'warning', true);
    DO $migrate$ BEGIN
      IF to_regclass('${schema}.meta') IS NULL THEN
        CREATE TABLE meta (version int NOT NULL, functions text NOT NULL, began text NOT NULL);
        INSERT INTO meta VALUES (${VERSION}, '', md5(gen_random_uuid()::text));
        EXECUTE $tables$${tables(schema)}$tables$;
      ELSIF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('${schema}.audit') AND attname = 'group_id') THEN
        -- Whoever records waits behind this: where somebody has the table for long, it is tried another time.
        SET LOCAL lock_timeout = '3s';
        ALTER TABLE audit ADD COLUMN group_id text;
      END IF;
      IF (SELECT version FROM meta) > ${VERSION} THEN RAISE EXCEPTION 'a newer version is being installed'; END IF;
    END $migrate$;
    ${functions}
    UPDATE meta SET version = ${VERSION}, functions = '${digest}'`)
  return (await versionOf(ask, schema))!.began
}

interface Meta {
  readonly version: number
  readonly functions: string
  readonly began: string
}
async function versionOf(ask: Ask, schema: string): Promise<Meta | undefined> {
  const [there] = await ask<{ there: boolean }>('SELECT to_regclass($1) IS NOT NULL AS there', [`${schema}.meta`])
  if (!there?.there) return undefined
  const [meta] = await ask<Meta>(`SELECT version, functions, began FROM ${schema}.meta`)
  return meta
}
