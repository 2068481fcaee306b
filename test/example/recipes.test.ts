import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { RECIPES } from '../../scripts/example/recipes/recipe.ts'
import { recipes } from '../../scripts/example/recipes/run.ts'
import { main } from '../../src/app/cli.ts'
import { loadConfig } from '../../src/app/config/load.ts'
import type { Action } from '../../src/core/action.ts'
import type { JsonObject } from '../../src/core/json.ts'
import type { End } from '../../src/core/plan.ts'
import { action, context, NOON, ruleset } from '../rules/build.ts'

const folders = readdirSync(RECIPES, { withFileTypes: true }).flatMap((f) => (f.isDirectory() ? [f.name] : []))
const DAY_MS = 86_400_000

/** The rules of a recipe, and what they make of an action, or of one that was held by what they made of it. */
function rulesOf(recipe: string, file: string, environment: Record<string, string> = {}) {
  const text = readFileSync(join(RECIPES, recipe, 'rules', file), 'utf8')
  const names = {
    ...context.names,
    providers: ['mailer'],
    chains: ['cart-reminder', 'win-back', 'onboarding', 'order-intake', 'payment-intake'],
  }
  const rules = ruleset([{ file, text }], { names, environment })
  const plan = (action_type: string, payload: JsonObject = {}, more: Partial<Action> = {}) =>
    rules.evaluate({ action: action(payload, { action_type, ...more }), now: NOON })
  const released = (action_type: string, payload: JsonObject) => {
    const { end } = plan(action_type, payload)
    if (end.kind !== 'schedule') throw new Error(`not held but ${end.kind}`)
    const resume = { rule: end.rule, priority: end.priority, before: end.before, matched: [] }
    return rules.evaluate({ action: action(payload, { action_type }), now: NOON, resume })
  }
  return { plan, released }
}
const kind = (end: End) => end.kind

describe('the recipes', () => {
  it('are all played, and those alone', () => expect(Object.keys(recipes).sort()).toEqual(folders.sort()))

  it.each([
    ['abandoned-cart', '2 providers, 5 rules, 1 chain'],
    ['onboarding', '3 providers, 3 rules, 1 chain'],
    ['win-back', '2 providers, 5 rules, 1 chain'],
    ['order-flow', '2 providers, 5 rules, 2 chains'],
  ])('%s loads without a word, rules included', async (name, counts) => {
    const said: string[] = []
    const to = { out: (l: string) => said.push(l), err: (l: string) => said.push(l), cwd: join(RECIPES, name), env: {} }
    expect(await main(['check', '-c', 'gateway.toml', '--strict'], to)).toBe(0)
    expect(said).toEqual([`ok: ${counts}`])
  })

  it.each(folders)('%s names each variable its run shortens, and its page as well', (name) => {
    const files = ['gateway.toml', ...readdirSync(join(RECIPES, name, 'rules')).map((f) => `rules/${f}`)]
    const text = files.map((f) => readFileSync(join(RECIPES, name, f), 'utf8')).join('\n')
    const times = [...text.matchAll(/\$\{(\w+_SECONDS):-/g)].map((m) => m[1]!)
    expect(Object.keys(recipes[name]!.short).sort()).toEqual([...new Set(times)].sort())
    const page = readFileSync(join(RECIPES, name, 'README.md'), 'utf8')
    expect(times.filter((t) => !page.includes(t))).toEqual([])
  })

  it('take days where no variable says otherwise', () => {
    const chain = (name: string) => {
      const read = loadConfig({ file: 'gateway.toml', cwd: join(RECIPES, name), env: {} })
      return JSON.stringify(read.config?.chains.definitions)
    }
    expect(chain('onboarding')).toMatch(/"wait":\{"seconds":"?300"?\}.*"wait":\{"seconds":"?86400"?\}/)
    expect(chain('win-back')).toContain('"timeout_seconds":259200')
  })
})

describe('abandoned-cart', () => {
  const { plan, released } = rulesOf('abandoned-cart', 'carts.yaml')
  const cart = { user_id: 'ann', total: 80 }
  it('holds a cart for a day, and what ends the wait has the same key', () => {
    const held = plan('cart.updated', cart).end
    if (held.kind !== 'schedule') throw new Error(`not held but ${held.kind}`)
    expect(held).toMatchObject({ dueAt: NOON + DAY_MS, onRepeat: 'restart', keyId: expect.any(String) })
    const ended = plan('order.placed', { user_id: 'ann' })
    expect(ended.end).toMatchObject({ kind: 'suppress' })
    expect(ended.effects).toMatchObject([{ kind: 'cancel_scheduled', id: held.keyId }])
  })
  it.each([
    ['cart.emptied', {}],
    ['cart.updated', { total: 49.99 }],
  ])('%s %j ends the wait too', (type, more) => {
    const { effects, end } = plan(type, { user_id: 'ann', ...more })
    expect([effects.length, kind(end)]).toEqual([1, 'suppress'])
  })
  it('drops a cart without a total, and ends nothing for it', () => {
    expect(plan('cart.updated', { user_id: 'ann' })).toMatchObject({ effects: [], end: { kind: 'suppress' } })
  })
  it('reminds once a week, asked when the wait is over', () => {
    expect(plan('cart.updated', cart).guards).toEqual([])
    expect(released('cart.updated', cart)).toMatchObject({
      guards: [{ kind: 'dedup', ttlMs: 7 * DAY_MS }],
      end: { kind: 'chain', chain: 'cart-reminder' },
    })
  })
})

describe('win-back', () => {
  const { plan, released } = rulesOf('win-back', 'users.yaml')
  it('restarts one wait of a week for each user', () => {
    const [ann, bob] = ['ann', 'bob'].map((user_id) => plan('user.active', { user_id }).end)
    expect(ann).toMatchObject({ kind: 'schedule', dueAt: NOON + 7 * DAY_MS, onRepeat: 'restart' })
    expect(ann).not.toEqual(bob)
    expect(plan('user.closed', { user_id: 'ann' }).effects).toHaveLength(1)
  })
  it('writes once a month', () => {
    expect(released('user.active', { user_id: 'ann' })).toMatchObject({
      guards: [{ kind: 'dedup', ttlMs: 30 * DAY_MS }],
      end: { kind: 'chain', chain: 'win-back' },
    })
  })
})

describe('onboarding', () => {
  const { plan } = rulesOf('onboarding', 'users.yaml')
  it('welcomes each user once, and nobody of the staff', () => {
    const user = (email: string) => plan('user.signed_up', { user_id: 'ann', email })
    expect(user('ann@example.com')).toMatchObject({ guards: [{ kind: 'dedup' }], end: { chain: 'onboarding' } })
    expect(user('Joe@Shop.Example.com').end).toMatchObject({ kind: 'suppress', reason: 'staff' })
  })
})

describe('order-flow', () => {
  const { plan } = rulesOf('order-flow', 'orders.yaml')
  it('gives each event its chain, and what the chain gives back to the customer', () => {
    const order = { order_id: 'f-1', amount: 5 }
    expect(plan('order.submitted', order).end).toMatchObject({ kind: 'chain', chain: 'order-intake' })
    expect(plan('payment.received', order).end).toMatchObject({ kind: 'chain', chain: 'payment-intake' })
    expect(plan('order.accepted', order)).toMatchObject({ guards: [], end: { kind: 'deliver', provider: 'mailer' } })
  })
  it('takes the order and the payment of one number for two things', () => {
    const [a, b] = ['order.submitted', 'payment.received'].map((t) => plan(t, { order_id: 'f-1', amount: 5 }).guards)
    expect(a).not.toEqual(b)
  })
})
