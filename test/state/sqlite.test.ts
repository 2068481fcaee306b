import { openSqlite } from '../../src/state/sqlite.ts'
import { stateContract } from '../contract/state.contract.ts'
import { memoryState } from '../fakes/store.ts'
import { folder } from './folder.ts'

const file = folder()

stateContract('sqlite in memory', async (env) => (await memoryState(env)).state)
stateContract('sqlite in this thread', async (env) => {
  const opened = await openSqlite({ path: file('here.db'), inThread: true, synchronous: 'normal', ...env })
  return opened.state
})
stateContract('sqlite in a worker', async (env) => (await openSqlite({ path: file('worker.db'), ...env })).state)
