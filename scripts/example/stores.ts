/** What an example keeps its state and audit in: `--state NAME`. A server that it needs is started for the run, and ended with it. */
import { join } from 'node:path'
import { startPostgres } from '../../test/servers/postgres.ts'
import { startRedis } from '../../test/servers/redis.ts'

export interface Store {
  /** What a gateway is started with, as `section.key=value`; each name is a store of its own. */
  settings(name: string, folder: string): readonly string[]
  stop(): Promise<void>
}

/** `aws`: where AWS is, for the store that is there. */
export const stores: { readonly [name: string]: (aws: string) => Promise<Store> } = {
  sqlite: async () => ({
    settings: (name, folder) => [
      'state.backend=sqlite',
      `state.path=${join(folder, `${name}.db`)}`,
      'audit.backend=sqlite',
    ],
    stop: async () => {},
  }),
  dynamodb: async (aws) => ({
    settings: (name) => [
      'state.backend=dynamodb',
      `state.url=${aws}`,
      `state.prefix=${name}`,
      'audit.backend=dynamodb',
      `audit.url=${aws}`,
      `audit.prefix=${name}`,
    ],
    stop: async () => {},
  }),
  async postgres() {
    const server = await startPostgres()
    return {
      settings: (name) => [
        'state.backend=postgres',
        `state.url=${server.url}`,
        `state.prefix=${name}`,
        'audit.backend=postgres',
        `audit.url=${server.url}`,
        `audit.prefix=${name}`,
      ],
      stop: () => server.stop(),
    }
  },
  async redis() {
    const server = await startRedis()
    return {
      settings: (name, folder) => [
        'state.backend=redis',
        `state.url=${server.url}`,
        `state.prefix=${name}`,
        'audit.backend=sqlite',
        'audit.per_node=true',
        `audit.path=${join(folder, `${name}-audit.db`)}`,
      ],
      stop: () => server.stop(),
    }
  },
}
