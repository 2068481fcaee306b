/** What every example's run stands on: where things are, what its processes see of the caller's environment, and patience. */
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Finished, type Server, startServer, type Variables } from './children.ts'
import { type Row, same } from './table.ts'

export const ROOT = resolve(import.meta.dirname, '../..')

/** Nothing of the caller's own gateway, receiver or AWS account gets into a run. */
export const plain = (): Variables =>
  Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(SIGNALBOX_|AWS_|RECEIVER_URL$|PORT$|LOG_LEVEL$)/.test(name)),
  )

export const say = (text: string): void => console.log(`\n── ${text}`)

/** Asks again until the answer is the one, or time is up; the last answer. */
export async function until<T>(ask: () => Promise<T>, done: (answer: T) => boolean, limitMs: number): Promise<T> {
  const end = Date.now() + limitMs
  for (;;) {
    const answer = await ask()
    if (done(answer) || Date.now() > end) return answer
    await sleep(100)
  }
}

/** A gateway on a port of the system's choice, with the `gateway.toml` of a folder; `set`: `section.key=value`. */
export function serve(folder: string, env: Variables, set: readonly string[]): Promise<Server> {
  const words = ['serve', '-c', join(folder, 'gateway.toml'), '--port', '0', ...set.flatMap((s) => ['--set', s])]
  return startServer([join(ROOT, 'src/app/signalbox.cjs'), ...words], env)
}

export const exited = (what: string, { code }: Finished): Row => same(`${what} ends with`, 0, code)
