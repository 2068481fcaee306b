import type { Env, Log } from '../core/env.ts'
import type { JsonObject } from '../core/json.ts'
import type { Redact } from '../core/redact.ts'

/** What providers are opened with: a provider that writes to the log writes payloads, and the log is for people. */
export function providerEnv(env: Env, redact: () => Redact): Env {
  const hiding =
    (level: keyof Log) =>
    (fields: object, message: string): void =>
      env.log[level](redact()(fields as JsonObject), message) // actions as they were stored, which is JSON
  const log: Log = { debug: hiding('debug'), info: hiding('info'), warn: hiding('warn'), error: hiding('error') }
  return { ...env, log }
}
