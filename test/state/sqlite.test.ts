import { openSqlite } from '../../src/state/sqlite.ts'
import { stateContract } from '../contract/state.contract.ts'
import type { TestEnv } from '../fakes/env.ts'
import { memoryState } from '../fakes/store.ts'
import { folder } from './folder.ts'

const file = folder()

stateContract('sqlite in memory', async (env) => (await memoryState(env)).state)
stateContract('sqlite in this thread', async (env) => {
  const opened = await openSqlite({ path: file('here.db'), inThread: true, synchronous: 'normal', ...env })
  return opened.state
})
const worker = async (env: TestEnv) => (await openSqlite({ path: file('worker.db'), ...env })).state
stateContract('sqlite in a worker', Object.assign(worker, { share: 0.4 }))
