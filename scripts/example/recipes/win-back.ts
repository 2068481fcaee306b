import { setTimeout as sleep } from 'node:timers/promises'
import { at, type Row as Data } from '../api.ts'
import { endOf, hasEnded, stepOf } from '../executions.ts'
import { type Row, same } from '../table.ts'
import type { Recipe } from './recipe.ts'

const AWAY_SECONDS = 2
export const short = { AWAY_SECONDS: String(AWAY_SECONDS), BACK_SECONDS: '3' }

export async function play(recipe: Recipe): Promise<readonly Row[]> {
  const active = (user_id: string, at: string) =>
    recipe.send('user.active', { user_id, email: `${user_id}@example.com`, at })
  const execution = (user: string, is: (e: Data) => boolean) => recipe.execution('win-back', `user:${user}`, is)
  const done = async (user: string, atLeast: number) => (await recipe.done(user, atLeast)).join(', ')

  const answers = await Promise.all(['kim', 'lea', 'mia', 'ned'].map((user) => active(user, 'monday')))
  const closed = await recipe.send('user.closed', { user_id: 'mia' })
  // Three times within the wait: each begins it anew.
  for (const day of ['tuesday', 'wednesday', 'thursday']) {
    await sleep(AWAY_SECONDS * 500)
    await active('lea', day)
  }
  const ned = await execution('ned', (e) => e['current_step'] === 'back')
  await recipe.gateway.post(`/v1/chains/${ned['chain_id']}/signal`, { signal: 'back' })

  const [kim, lea, back] = [
    await execution('kim', hasEnded),
    await execution('lea', hasEnded),
    await execution('ned', hasEnded),
  ]
  const noted = (e: Data) => at(stepOf(e, 'noted'), 'output', 'body', 'back')
  return [
    same('Seen', 'scheduled', [...new Set(answers)].join(', ')),
    same('Account closed', 'suppressed', closed),
    same('Stays away: ends', 'completed, back: false', `${endOf(kim)}, back: ${noted(kim)}`),
    same('Stays away: done', 'mailer we_miss_you, push we_miss_you', await done('kim', 2)),
    same('Comes back: ends', 'completed, back: true', `${endOf(back)}, back: ${noted(back)}`),
    same('Comes back: done', 'mailer we_miss_you, mailer welcome_back', await done('ned', 2)),
    same('Seen again and again: asked once, last seen', 'thursday', at(stepOf(lea, 'mail'), 'input', 'last_seen')),
    same('Seen again and again: done', 'mailer we_miss_you, push we_miss_you', await done('lea', 2)),
    same('Account closed: done', '', await done('mia', 0)),
    same('Still held', 0, ((await recipe.gateway.get('/v1/scheduled'))['scheduled'] as readonly object[]).length),
  ]
}
