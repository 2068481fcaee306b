import { at } from '../api.ts'
import { endOf, hasEnded, stepOf } from '../executions.ts'
import { type Row, same } from '../table.ts'
import type { Recipe } from './recipe.ts'

export const short = { HELLO_SECONDS: '1', NEXT_SECONDS: '1' }

export async function play(recipe: Recipe): Promise<readonly Row[]> {
  const signUp = (user_id: string, email = `${user_id}@example.com`) =>
    recipe.send('user.signed_up', { user_id, email, name: user_id.toUpperCase() })
  const end = (user: string) => recipe.execution('onboarding', `user:${user}`, hasEnded)
  const done = async (user: string, atLeast: number) => (await recipe.done(user, atLeast)).join(', ')

  await recipe.tell('app', 'progress', { user_id: 'eva' }, { body: { projects: 2 } })
  await recipe.tell('app', 'progress', { user_id: 'ivy' }, { status: 404 })
  await recipe.tell('push', 'hello', { user_id: 'gus' }, { status: 404 })
  const answers = await Promise.all(['eva', 'fay', 'gus', 'hal', 'ivy'].map((user) => signUp(user)))
  const more = [await signUp('eva'), await signUp('joe', 'Joe@Shop.example.com')]
  const hal = await recipe.execution('onboarding', 'user:hal', (e) => e['current_step'] === 'a-moment')
  await recipe.gateway.post(`/v1/chains/${hal['chain_id']}/cancel`)

  const [eva, fay, gus] = [await end('eva'), await end('fay'), await end('gus')]
  return [
    same('Signed up', 'chain_started', [...new Set(answers)].join(', ')),
    same('Signed up again; one of the staff', 'deduplicated, suppressed', more.join(', ')),
    same('Active: ends', 'completed', endOf(eva)),
    same(
      'Active: done',
      'mailer welcome, push hello, app progress, mailer showcase, app onboarded',
      await done('eva', 5),
    ),
    same('Active: the showcase knows', 2, at(stepOf(eva, 'showcase'), 'input', 'projects')),
    same('Not active: ends', 'completed', endOf(fay)),
    same(
      'Not active: done',
      'mailer welcome, push hello, app progress, mailer getting_started, app onboarded',
      await done('fay', 5),
    ),
    same('No app: ends', 'partially_completed', endOf(gus)),
    same('No app: done', 'mailer welcome, app progress, mailer getting_started, app onboarded', await done('gus', 4)),
    same('Nobody knows: ends', 'completed', endOf(await end('ivy'))),
    same(
      'Nobody knows: done',
      'mailer welcome, push hello, mailer getting_started, app onboarded',
      await done('ivy', 4),
    ),
    same('Has left: ends', 'cancelled', endOf(await end('hal'))),
    same('Has left: done', 'mailer welcome', await done('hal', 1)),
  ]
}
