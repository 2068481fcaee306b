import { deadlineSignal } from '../../core/clock.ts'
import type { Env } from '../../core/env.ts'
import { ProviderError } from '../../core/errors.ts'
import { failure, untilAborted } from '../wire/errors.ts'
import type { AwsConfig } from './config.ts'
import { awsError, isExpiredToken } from './errors.ts'

export interface Identity {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
  readonly expiration?: Date
}
/** Answers from memory until shortly before the credentials expire. Rejects with ProviderError; nothing was sent then. */
export interface CredentialSource {
  get(): Promise<Identity>
  /** The service says these have expired: the next `get` fetches anew, unless somebody has done so since. */
  forget(used: Identity): void
}

/** Fetched anew when less than this is left; used to their end if that fails. AWS's own SDKs take five minutes. */
const REFRESH_BEFORE_MS = 300_000
/** Between two early refreshes that fail. */
const REFRESH_PAUSE_MS = 30_000
/** A source that does not answer must not hold up those who ask later. */
const LOAD_TIMEOUT_MS = 30_000
/** Local stand-ins accept anything. */
const TEST: Identity = { accessKeyId: 'test', secretAccessKey: 'test' }

/** The standard chain, or the role assumed with it. The SDK's credential code is loaded at the first use. */
export function credentialSource(config: AwsConfig, region: string, env: Env): CredentialSource {
  const base = remembered(() => standardChain(config), env)
  return config.aws_role_arn === undefined ? base : remembered(roleSource(config, region, base), env)
}

function remembered(load: () => Promise<Identity>, env: Env): CredentialSource {
  let held: Identity | undefined
  let loading: Promise<Identity> | undefined
  let pausedUntil = 0
  const leftMs = (i: Identity) => (i.expiration ? i.expiration.getTime() - env.clock.now() : Number.POSITIVE_INFINITY)

  async function fetchAnew(): Promise<Identity> {
    const before = held
    const deadline = deadlineSignal(env.clock, LOAD_TIMEOUT_MS)
    try {
      held = await untilAborted(load(), deadline.signal, true)
      return held
    } catch (e) {
      if (before === undefined || held !== before || leftMs(before) <= 0) throw asCredentialsError(e, env)
      pausedUntil = env.clock.now() + REFRESH_PAUSE_MS
      return before
    } finally {
      deadline.clear()
    }
  }
  return {
    async get() {
      if (held !== undefined) {
        const left = leftMs(held)
        if (left > REFRESH_BEFORE_MS || (left > 0 && env.clock.now() < pausedUntil)) return held
      }
      loading ??= fetchAnew().finally(() => {
        loading = undefined
      })
      return loading
    },
    forget(used) {
      if (held === used) held = undefined
    },
  }
}

async function standardChain(config: AwsConfig): Promise<Identity> {
  const { fromNodeProviderChain } = await import('@aws-sdk/credential-providers')
  try {
    return await fromNodeProviderChain({ ignoreCache: true })()
  } catch (e) {
    const none = e instanceof Error && e.name === 'CredentialsProviderError'
    if (none && isStandIn(config.aws_endpoint_url)) return TEST
    throw e
  }
}

/** An endpoint that is not AWS's own: a private endpoint of AWS must never be met with `test`. */
function isStandIn(endpoint: string | undefined): boolean {
  const host = endpoint === undefined ? undefined : URL.parse(endpoint)?.hostname
  return host !== undefined && !/(^|\.)amazonaws\.com(\.cn)?$|(^|\.)api\.aws$/.test(host)
}

/** AssumeRole at the same endpoint; the STS client inside is kept across refreshes. */
function roleSource(config: AwsConfig, region: string, base: CredentialSource): () => Promise<Identity> {
  let assume: (() => Promise<Identity>) | undefined
  return async () => {
    if (assume === undefined) {
      const { fromTemporaryCredentials } = await import('@aws-sdk/credential-providers')
      assume = fromTemporaryCredentials({
        masterCredentials: alwaysAsked(base),
        params: {
          RoleArn: config.aws_role_arn,
          RoleSessionName: config.aws_session_name,
          ...(config.aws_external_id !== undefined && { ExternalId: config.aws_external_id }),
        },
        clientConfig: {
          region,
          maxAttempts: 1,
          ...(config.aws_endpoint_url !== undefined && { endpoint: config.aws_endpoint_url }),
        },
      })
    }
    try {
      return await assume()
    } catch (e) {
      if (!isExpiredToken(e)) throw e
      base.forget(await base.get())
      return assume()
    }
  }
}

/** A provider the SDK does not remember for itself: it takes `memoized` to mean that the function does. */
export const alwaysAsked = (source: CredentialSource): (() => Promise<Identity>) & { memoized: true } =>
  Object.assign(() => source.get(), { memoized: true as const })

/** Whatever went wrong, the action's own request was not sent: the code says so. */
function asCredentialsError(e: unknown, env: Env): ProviderError {
  if (e instanceof ProviderError) return e
  const said = awsError(e, new AbortController().signal, env.clock.now())
  const code = said.code === 'access_denied' ? 'access_denied' : 'credentials_unavailable'
  const what = code === 'access_denied' ? 'the role may not be assumed' : 'no AWS credentials could be had'
  return failure(code, what, { cause: e })
}
