/** `npm run local-aws`: serves on `PORT`, else 4566, until SIGINT or SIGTERM. */
import { startLocalAws } from './server.ts'

const wanted = process.env.PORT || '4566'
const port = Number(wanted)
if (!Number.isInteger(port) || port < 0 || port > 65535) {
  console.error(`PORT must be a port number, not ${wanted}`)
  process.exit(1)
}

/** A signal to `npm run` ends npm and its shell, which passes nothing on: without this we would stay behind. */
const endWithParent = (stop: () => void): void => {
  const parent = process.ppid
  setInterval(() => process.ppid !== parent && stop(), 250).unref()
}

try {
  const local = await startLocalAws({ port })
  let stopping = false
  const stop = async () => {
    if (stopping) return
    stopping = true
    await local.close()
    process.exit(0)
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  if (process.env.npm_lifecycle_event) endWithParent(stop)
  console.log(`Local AWS listening on ${local.url}`)
} catch (error) {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  console.error(code === 'EADDRINUSE' ? `Port ${port} is in use; choose another with PORT=<port>` : error)
  process.exit(1)
}
