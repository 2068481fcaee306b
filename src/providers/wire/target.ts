import type { Dispatcher } from 'undici'
import { checkHost, guardedLookup } from './addresses.ts'
import { networkError } from './errors.ts'
import { gather, type TargetAnswer } from './gather.ts'

/** One origin and the connections to it. Redirects are not followed: they could lead anywhere. */
export interface Target {
  /** Throws ProviderError. `text` is cut at 1 MiB, which `truncated` tells. */
  request(r: {
    readonly method: Dispatcher.HttpMethod
    readonly headers: { readonly [name: string]: string }
    readonly body?: string
    readonly signal: AbortSignal
  }): Promise<TargetAnswer>
  /** Connects, TLS included, and hangs up. */
  connect(signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

const CONNECT_TIMEOUT_MS = 10_000

/** undici is loaded at the first use. */
export function openTarget(url: URL, opts: { readonly blockPrivate: boolean }): Target {
  let opened: ReturnType<typeof open> | undefined

  async function open() {
    const { buildConnector, Pool } = await import('undici')
    const connectTo = buildConnector({
      allowH2: false,
      timeout: CONNECT_TIMEOUT_MS,
      lookup: guardedLookup(opts.blockPrivate),
    })
    const connect: typeof connectTo = (options, callback) => {
      try {
        checkHost(options.hostname, opts.blockPrivate)
      } catch (e) {
        return callback(e instanceof Error ? e : new Error(String(e)), null)
      }
      connectTo(options, callback)
    }
    // The only clock is the caller's signal.
    const pool = new Pool(url.origin, { connect, allowH2: false, headersTimeout: 0, bodyTimeout: 0 })
    return { connect, pool }
  }
  const ready = () => {
    opened ??= open()
    return opened
  }

  return {
    async request({ method, headers, body, signal }) {
      try {
        const { pool } = await ready()
        const path = url.pathname + url.search
        return await gather(pool, { path, method, headers, ...(body !== undefined && { body }) }, signal)
      } catch (e) {
        throw networkError(e, signal)
      }
    },
    async connect(signal) {
      const { connect } = await ready()
      await new Promise<void>((done, failed) => {
        const stop = () => failed(networkError(signal.reason, signal))
        if (signal.aborted) return stop()
        signal.addEventListener('abort', stop, { once: true })
        const { hostname, host, protocol, port } = url
        connect({ hostname: hostname.replace(/^\[|\]$/g, ''), host, protocol, port }, (error, socket) => {
          signal.removeEventListener('abort', stop)
          socket?.destroy()
          if (error) failed(networkError(error, signal))
          else done()
        })
      })
    },
    async close() {
      if (opened === undefined) return
      const { pool } = await opened
      await pool.destroy()
    },
  }
}
