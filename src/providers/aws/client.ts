import type { Env } from '../../core/env.ts'
import { untilAborted } from '../wire/errors.ts'
import { type AwsConfig, REGION_MISSING, regionOf } from './config.ts'
import { alwaysAsked, credentialSource, type Identity } from './credentials.ts'
import { awsError, isExpiredToken } from './errors.ts'

/** What every SDK client of ours is built with. */
export interface ClientSettings {
  readonly region: string
  readonly endpoint?: string
  readonly credentials: (() => Promise<Identity>) & { memoized: true }
  readonly maxAttempts: 1
  readonly requestHandler: { httpAgent: { maxSockets: number }; httpsAgent: { maxSockets: number } }
}
export interface AwsCalls<Sdk, Client> {
  /**
   * One call: `run` sends one command with the given options. An answer that the session has expired gets fresh
   * credentials and one more attempt. Throws ProviderError and nothing else.
   */
  call<T>(
    signal: AbortSignal,
    run: (client: Client, sdk: Sdk, options: { readonly abortSignal: AbortSignal }) => Promise<T>,
  ): Promise<T>
  close(): Promise<void>
}

/** `max_concurrent` is delivery's affair: the socket pool must not queue below it. */
const MAX_SOCKETS = 512

/** A client that is loaded and built at its first call. Throws at once when no region is configured. */
export function awsCalls<Sdk, Client extends { destroy(): void }>(
  config: AwsConfig,
  env: Env,
  load: () => Promise<Sdk>,
  build: (sdk: Sdk, settings: ClientSettings) => Client,
): AwsCalls<Sdk, Client> {
  const region = regionOf(config)
  if (region === undefined) throw new Error(REGION_MISSING)
  const source = credentialSource(config, region, env)
  const settings: ClientSettings = {
    region,
    ...(config.aws_endpoint_url !== undefined && { endpoint: config.aws_endpoint_url }),
    credentials: alwaysAsked(source),
    maxAttempts: 1, // retries are delivery's
    requestHandler: { httpAgent: { maxSockets: MAX_SOCKETS }, httpsAgent: { maxSockets: MAX_SOCKETS } },
  }
  let opened: Promise<{ sdk: Sdk; client: Client }> | undefined
  const open = async () => {
    const sdk = await load()
    return { sdk, client: build(sdk, settings) }
  }

  return {
    async call(signal, run) {
      try {
        opened ??= open()
        const { sdk, client } = await untilAborted(opened, signal, true)
        let used: Identity | undefined
        const attempt = async () => {
          // Asked for first, so that a failure or a timeout here is known to be before the first byte.
          used = await untilAborted(source.get(), signal, true)
          return untilAborted(run(client, sdk, { abortSignal: signal }), signal)
        }
        try {
          return await attempt()
        } catch (e) {
          if (!isExpiredToken(e) || used === undefined) throw e
          source.forget(used)
          return await attempt()
        }
      } catch (e) {
        throw awsError(e, signal, env.clock.now())
      }
    },
    async close() {
      if (opened === undefined) return
      const { client } = await opened
      client.destroy()
    },
  }
}
