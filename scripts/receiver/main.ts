/** `npm run receiver`: takes webhooks on `PORT`, else 9100, until SIGINT or SIGTERM; a line for each. */
import type { Call } from './receiver.ts'
import { startReceiver } from './server.ts'

const wanted = process.env.PORT || '9100'
const port = Number(wanted)
if (!Number.isInteger(port) || port < 0 || port > 65535) {
  console.error(`PORT must be a port number, not ${wanted}`)
  process.exit(1)
}

const line = ({ at, receiver, action_type, payload, status, effect, conflict }: Call): string => {
  const what = `${receiver} ${action_type ?? ''}`.trim()
  const note = conflict ? '  OTHER BYTES UNDER A KNOWN TOKEN' : effect || status >= 400 ? '' : '  done before'
  return `${at.slice(11, 23)}  ${String(status)}  ${what.padEnd(20)} ${JSON.stringify(payload)}${note}`
}

try {
  const { url, close } = await startReceiver(port, (call) => console.log(line(call)))
  let stopping = false
  const stop = async () => {
    if (stopping) return
    stopping = true
    await close()
    process.exit(0)
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  // A signal to npm ends npm and its shell, which pass nothing on: without this we would stay behind.
  const parent = process.ppid
  if (process.env.npm_lifecycle_event) setInterval(() => process.ppid !== parent && stop(), 250).unref()
  console.log(`Receiver listening on ${url}`)
} catch (error) {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  console.error(code === 'EADDRINUSE' ? `Port ${port} is in use; choose another with PORT=<port>` : error)
  process.exit(1)
}
