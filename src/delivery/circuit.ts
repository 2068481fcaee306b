import { EventEmitter } from 'node:events'
import CircuitBreaker from 'opossum'
import type { Clock } from '../core/clock.ts'

/** Sums over about the last ten seconds, from opossum. */
export interface CircuitStats {
  readonly fires: number
  readonly successes: number
  readonly failures: number
  /** Refused because the breaker was open. */
  readonly rejects: number
  readonly latency_mean_ms: number
  readonly latency_p50_ms: number
  readonly latency_p99_ms: number
}

/** opossum executes the attempts and counts them; it decides nothing. Our breaker admits, then sets it. */
export interface Circuit {
  /** Runs an admitted attempt; rejects with what the attempt rejects with. */
  fire<T>(attempt: () => Promise<T>): Promise<T>
  /** Counts an attempt that was made without asking, because it could not fail. */
  succeeded(durationMs: number): void
  /** Shows a state our breaker has taken. */
  show(state: 'open' | 'closed'): void
  /** Counts an attempt our breaker refused. */
  refused(): void
  stats(): CircuitStats
  close(): void
}

const BUCKETS = 10
const BUCKET_MS = 1000

export function createCircuit(name: string, clock: Clock): Circuit {
  const rotation = new EventEmitter()
  const breaker = new CircuitBreaker<[() => Promise<unknown>], unknown>((attempt) => attempt(), {
    name,
    // Above 100 %: opossum never opens by itself. It half-opens by itself after 2^31-1 ms; Infinity would do so at once.
    errorThresholdPercentage: 100,
    resetTimeout: 2 ** 31 - 1,
    timeout: false,
    enableSnapshots: false,
    rollingCountBuckets: BUCKETS,
    rollingCountTimeout: BUCKETS * BUCKET_MS,
    rotateBucketController: rotation,
  })
  let bucket = Math.floor(clock.now() / BUCKET_MS)
  // Buckets turn when somebody looks, on our clock: opossum's own would be a timer per provider, and unturned they grow for ever.
  const turn = () => {
    const now = Math.floor(clock.now() / BUCKET_MS)
    for (let i = Math.min(now - bucket, BUCKETS); i > 0; i--) rotation.emit('rotate')
    bucket = now
  }
  return {
    fire<T>(attempt: () => Promise<T>): Promise<T> {
      turn()
      // Our breaker has admitted it, so it runs: for opossum a probe is an attempt on a closed circuit.
      if (!breaker.closed) breaker.close()
      return breaker.fire(attempt) as Promise<T>
    },
    succeeded(durationMs) {
      turn()
      breaker.emit('fire')
      breaker.emit('success', undefined, durationMs)
    },
    show(state) {
      if (state === 'open') breaker.open()
      else breaker.close()
    },
    refused() {
      turn()
      breaker.emit('reject', new Error('the breaker is open'))
    },
    stats() {
      turn()
      const s = breaker.stats
      return {
        fires: s.fires,
        successes: s.successes,
        failures: s.failures,
        rejects: s.rejects,
        latency_mean_ms: s.latencyMean,
        latency_p50_ms: s.percentiles[0.5] ?? 0,
        latency_p99_ms: s.percentiles[0.99] ?? 0,
      }
    },
    close: () => breaker.shutdown(),
  }
}
