import { afterEach, describe, expect, test, vi } from 'vitest'
import type { Action } from '../../src/core/action.ts'
import { ProviderError } from '../../src/core/errors.ts'
import { deliveryToken } from '../../src/core/ids.ts'
import type { Json } from '../../src/core/json.ts'
import { lineageSigner, newLineage } from '../../src/core/lineage.ts'
import type { Provider } from '../../src/core/provider.ts'
import { providerErrorCodes } from '../../src/providers/index.ts'
import { SOON } from '../fakes/soon.ts'

/** How the other side behaves from now on. */
export type Mode = 'ok' | 'hang' | 'reset' | 'throttled' | 'rejected' | 'server_error'
/** The other side: a real server on loopback. */
export interface Wire {
  /** Of every request so far, the part that must be equal each time. */
  sent(): readonly string[]
  mode(mode: Mode): void
  /** Resolves once `n` requests in all have arrived. */
  arrived(n: number): Promise<void>
  connections(): Promise<number>
  stop(): Promise<void>
}
export interface Rig {
  readonly provider: Provider
  /** One it takes. */
  readonly action: Action
  /** One whose payload has a known key of the wrong type; absent where no key is read. */
  readonly wrong?: { readonly action: Action; readonly pointer: string }
  /** Absent where nothing leaves the machine. */
  readonly wire?: Wire
  /** Modes the protocol has no words for. */
  readonly without?: readonly Mode[]
}

/** What every provider keeps. `build` gives a fresh provider and its other side, which the suite closes. */
export function providerContract(type: string, build: () => Promise<Rig>): void {
  describe(`provider contract: ${type}`, () => {
    const token = deliveryToken('run-1')
    let rig: Rig | undefined
    const fresh = async (): Promise<Rig & { wire: Wire }> => {
      rig = await build()
      return rig as Rig & { wire: Wire }
    }
    afterEach(async () => {
      await rig?.provider.close()
      await rig?.wire?.stop()
      rig = undefined
    })
    const never = () => new AbortController().signal
    const failing = async (sending: Promise<unknown>): Promise<ProviderError> => {
      const e = await sending.then(
        () => new Error('it was sent'),
        (thrown: unknown) => thrown,
      )
      expect(e).toBeInstanceOf(ProviderError)
      const error = e as ProviderError
      expect(Object.keys(providerErrorCodes)).toContain(error.code)
      return error
    }

    test('render is pure, and equal for equal input', async () => {
      const { provider, action } = await fresh()
      const before = JSON.stringify(action)
      const copy = JSON.parse(before) as Action
      expect(provider.render(action, { token })).toEqual(provider.render(copy, { token }))
      expect(JSON.stringify(provider.render(action, { token }))).toBe(JSON.stringify(provider.render(copy, { token })))
      expect(JSON.stringify(action)).toBe(before)
    })

    test('the request survives being stored', async () => {
      const { provider, action } = await fresh()
      const request = provider.render(action, { token })
      const back = JSON.parse(JSON.stringify(request)) as Json
      expect(back).toStrictEqual(request)
      expect(provider.dedupWindowMs(back)).toBe(provider.dedupWindowMs(request))
    })

    test('the deduplication window is never negative, and depends on the request alone', async () => {
      const { provider, action } = await fresh()
      const windows = ['x', 'y'].map((run) =>
        provider.dedupWindowMs(provider.render(action, { token: deliveryToken(run) })),
      )
      expect(windows[0]).toBeGreaterThanOrEqual(0)
      expect(windows[1]).toBe(windows[0])
    })

    test('a sending answers with a status and plain data', async () => {
      const { provider, action } = await fresh()
      const receipt = await provider.send(provider.render(action, { token }), { token, signal: never() })
      expect(receipt.status).toBeGreaterThanOrEqual(200)
      expect(receipt.status).toBeLessThan(300)
      expect(JSON.parse(JSON.stringify(receipt.body))).toStrictEqual(receipt.body)
    })

    test('a closed provider lets go of its connections, and closing twice is closing once', async () => {
      const { provider, action, wire } = await fresh()
      await provider.send(provider.render(action, { token }), { token, signal: never() })
      await provider.close()
      await provider.close()
      if (wire) await vi.waitFor(async () => expect(await wire.connections()).toBe(0), SOON)
    })

    test('a known key of the wrong type is permanent, with its pointer', async () => {
      const { provider, wrong } = await fresh()
      if (wrong === undefined) return expect(provider.render(rig!.action, { token })).toBeDefined()
      const error = await failing((async () => provider.render(wrong.action, { token }))())
      expect(error).toMatchObject({ code: 'invalid_payload', pointer: wrong.pointer, retryable: false, unknown: false })
    })

    overTheWire(type, fresh, failing, token)
  })
}

function overTheWire(
  type: string,
  fresh: () => Promise<Rig & { wire: Wire }>,
  failing: (sending: Promise<unknown>) => Promise<ProviderError>,
  token: string,
): void {
  if (type === 'log') return
  const never = () => new AbortController().signal

  test('PITFALLS 64: the same request is the same bytes each time, also after a restart', async () => {
    const { provider, action, wire } = await fresh()
    const carried = { token, lineage: lineageSigner('a secret of the tests').sign(newLineage('run-1')) }
    const request = JSON.parse(JSON.stringify(provider.render(action, carried))) as Json
    await provider.send(request, { token, signal: never() })
    await provider.send(request, { token, signal: never() })
    const [first, second, ...rest] = wire.sent()
    expect(rest).toEqual([])
    expect(first).toBeDefined()
    expect(second).toBe(first)
  })

  test('PITFALLS 68: the token that leaves is the run’s, not the caller’s id', async () => {
    const { provider, action, wire } = await fresh()
    for (const run of ['run-1', 'run-2']) {
      const t = deliveryToken(run)
      await provider.send(provider.render(action, { token: t }), { token: t, signal: never() })
    }
    const [first, second] = wire.sent()
    expect(second).not.toBe(first)
  })

  test('a refused connection is retryable and definite', async () => {
    const { provider, action, wire } = await fresh()
    await wire.stop()
    const error = await failing(provider.send(provider.render(action, { token }), { token, signal: never() }))
    expect(error).toMatchObject({ code: 'connection_refused', retryable: true, unknown: false, timeout: false })
  })

  test('a connection that breaks is retryable and unknown', async () => {
    const { provider, action, wire } = await fresh()
    wire.mode('reset')
    const error = await failing(provider.send(provider.render(action, { token }), { token, signal: never() }))
    expect(error).toMatchObject({ code: 'connection_reset', retryable: true, unknown: true, timeout: false })
  })

  for (const [reason, expected] of [
    [new DOMException('timed out', 'TimeoutError'), { code: 'timeout', timeout: true }],
    [new Error('the claim is lost'), { code: 'aborted', timeout: false }],
  ] as const)
    test(`an attempt under way ends with its signal: ${expected.code}`, async () => {
      const { provider, action, wire } = await fresh()
      wire.mode('hang')
      const stop = new AbortController()
      const sending = failing(provider.send(provider.render(action, { token }), { token, signal: stop.signal }))
      await wire.arrived(1)
      stop.abort(reason)
      expect(await sending).toMatchObject({ ...expected, retryable: true, unknown: true })
    })

  test('nothing is sent under a signal that has already fired', async () => {
    const { provider, action, wire } = await fresh()
    const error = await failing(
      provider.send(provider.render(action, { token }), { token, signal: AbortSignal.abort(new Error('stopped')) }),
    )
    expect(error.code).toBe('aborted')
    expect(wire.sent()).toEqual([])
  })

  for (const [mode, flags] of [
    ['throttled', { retryable: true, unknown: false }],
    ['rejected', { retryable: false, unknown: false }],
    ['server_error', { retryable: true, unknown: true, code: 'server_error' }],
  ] as const)
    test(`an answer that says ${mode}`, async () => {
      const { provider, action, wire, without } = await fresh()
      if (without?.includes(mode)) return expect(without).toContain(mode)
      wire.mode(mode)
      const error = await failing(provider.send(provider.render(action, { token }), { token, signal: never() }))
      expect(error).toMatchObject(flags)
      expect(error.response?.status).toBeGreaterThanOrEqual(400)
    })

  test('check sends no action', async () => {
    const { provider, wire } = await fresh()
    await wire.stop()
    const error = await failing(provider.check(never()))
    expect(error).toMatchObject({ code: 'connection_refused', unknown: false })
    expect(wire.sent()).toEqual([])
  })
}
