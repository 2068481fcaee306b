import { closeSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { JsonObject } from '../../../src/core/json.ts'
import { type Bench, SERVER_CORE } from '../bench.ts'
import { type Running, startGateway } from '../process.ts'
import { type Definition, ruleFile, SCOPE, writeGateway } from './settings.ts'

/** A gateway on one core, with a folder and a log of its own. */
export interface Gateway {
  readonly server: Running
  /** The store's file. */
  readonly store: string
  readonly log: string
  /** Defines a chain and the rule that starts it. Answers why the engine refuses it, or undefined. */
  define(chain: Definition): Promise<string | undefined>
  get(path: string): Promise<JsonObject>
  stop(): Promise<void>
  /** Stops, and starts again on what it has stored. */
  restart(): Promise<Gateway>
}

export async function openGateway(bench: Pick<Bench, 'work'>, name: string, slowUrl?: string): Promise<Gateway> {
  const folder = join(bench.work, name)
  return open(folder, writeGateway(folder, slowUrl))
}

async function open(folder: string, file: string): Promise<Gateway> {
  const log = join(folder, 'server.log')
  const fd = openSync(log, 'a')
  const server = await startGateway(file, { core: SERVER_CORE, log: fd })
  const at = `http://127.0.0.1:${server.port}`
  const stop = async (): Promise<void> => {
    await server.stop()
    closeSync(fd)
  }
  return {
    server,
    store: join(folder, 'data/signalbox.db'),
    log,
    async define(chain) {
      const put = await fetch(`${at}/v1/chains/definitions/${chain.name}`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(chain),
      })
      if (put.status === 422) return refusal((await put.json()) as Problem)
      if (!put.ok) throw new Error(`"${chain.name}" was not defined: ${await put.text()}`)
      writeFileSync(join(folder, 'rules', `${chain.name}.yaml`), ruleFile(chain.name))
      const reloaded = await fetch(`${at}/v1/rules/reload`, { method: 'POST' })
      if (!reloaded.ok) throw new Error(`the rule of "${chain.name}" was refused: ${await reloaded.text()}`)
      return undefined
    },
    async get(path) {
      const answer = await fetch(
        `${at}${path}${path.includes('?') ? '&' : '?'}namespace=${SCOPE[0]}&tenant=${SCOPE[1]}`,
      )
      if (!answer.ok) throw new Error(`GET ${path}: ${await answer.text()}`)
      return (await answer.json()) as JsonObject
    },
    stop,
    async restart() {
      await stop()
      return open(folder, file)
    },
  }
}

interface Problem {
  readonly detail?: string
  readonly errors?: readonly { readonly pointer: string; readonly message: string }[]
}
function refusal({ detail, errors }: Problem): string {
  const first = errors?.[0]
  return first ? `${first.pointer}: ${first.message}` : (detail ?? 'without saying why')
}
