import type { StoreSettings } from '../../src/state/opened.ts'

/** What `[state]` says of a server at this address, and nothing else. */
export const postgresSettings = (url: string): StoreSettings => ({
  path: '',
  synchronous: 'full',
  url,
  listenUrl: undefined,
  region: undefined,
  tableName: undefined,
  prefix: undefined,
  durability: undefined,
})
