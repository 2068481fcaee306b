import { describe, expect, it } from 'vitest'
import { whereIs } from '../../src/dispatch/where.ts'
import { SCOPE } from '../fakes/house.ts'
import { OK, type Scripted, serverError } from '../fakes/provider.ts'
import { world } from './outcome-world.ts'

describe('redaction', () => {
  const hidden = '[audit.redact]\nfields = ["secret", "user.email"]\n'
  const leaky: Scripted = { status: 200, body: { secret: 'S3CR3T', user: { email: 'E-MAIL' }, fine: 1 } }
  const payload = { secret: 'S3CR3T', user: { email: 'E-MAIL', name: 'ann' }, deep: [{ secret: 'S3CR3T' }] }

  it('PITFALLS 52, 75: audit, stored answers, letters and places are redacted; what is sent is not', async () => {
    const { house, send, hook } = await world([leaky, serverError(), leaky], { toml: hidden })
    await send('a', { payload, metadata: { secret: 'S3CR3T', zone: 'z' } }, { key: 'k' })
    const again = await send('a', { payload, metadata: { secret: 'S3CR3T', zone: 'z' } }, { key: 'k' })
    expect(again).toMatchObject({
      response: { body: { secret: '[REDACTED]', user: { email: '[REDACTED]' }, fine: 1 } },
    })
    await send('a', { id: 'two', payload })
    await send('later', { id: 'three', payload })
    const seen = [
      await house.records(),
      again,
      ...(await Promise.all(
        ['one', 'two', 'three'].map((action) =>
          whereIs(
            { state: house.state, audit: house.audit, chains: house.chains, redact: house.redact },
            SCOPE,
            action,
          ),
        ),
      )),
      (await house.schedules.list(SCOPE, { limit: 10 })).scheduled,
      house.env.logged,
    ]
    const text = JSON.stringify(seen)
    expect(text).not.toContain('S3CR3T')
    expect(text).not.toContain('E-MAIL')
    expect(text).toContain('ann')
    expect(hook.sent[0]?.request).toMatchObject({ payload })
    await house.env.clock.advance(61_000)
  })

  it('store_payload = false keeps the payload out of the audit, and nothing else', async () => {
    const { house, send } = await world([OK], { toml: '[audit]\nstore_payload = false\n' })
    await send('a')
    const [record] = await house.records()
    expect(record).not.toHaveProperty('payload')
    expect(record).toMatchObject({ outcome: 'executed', metadata: {} })
  })

  it('audit.enabled = false writes no record, and everything else works', async () => {
    const { house, send } = await world([OK], { toml: '[audit]\nenabled = false\n', loops: true })
    expect(await send('a')).toMatchObject({ outcome: 'executed' })
    expect(await send('bad')).toMatchObject({ outcome: 'denied' })
    expect(await send('later')).toMatchObject({ outcome: 'scheduled' })
    await house.env.clock.advance(62_000)
    expect(await house.records()).toEqual([])
    expect(await house.stored('scheduled')).toEqual([])
  })
})
