import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, watch } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect } from 'vitest'

/**
 * A server of its own goes with whoever started it, killed or not, and takes its folder along. `module` and `start`: the file here that
 * starts it, and its function's name; `ask`: whether it answers.
 */
export async function goesWithItsStarter(
  module: string,
  start: string,
  ask: (url: string) => Promise<unknown>,
): Promise<void> {
  const script = `const { ${start} } = await import(${JSON.stringify(join(import.meta.dirname, module))})
      process.stdout.write(JSON.stringify(await ${start}()))
      setInterval(() => {}, 1000)`
  const starter = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [out] = (await once(starter.stdout, 'data')) as [Buffer]
  const { url, folder } = JSON.parse(out.toString()) as { readonly url: string; readonly folder: string }
  await ask(url)
  const removed = gone(folder)
  starter.kill('SIGKILL')
  await removed
  await expect(ask(url)).rejects.toThrow(/ECONN(REFUSED|RESET)/)
}

function gone(folder: string): Promise<void> {
  return new Promise((resolve) => {
    const watcher = watch(dirname(folder), () => {
      if (existsSync(folder)) return
      watcher.close()
      resolve()
    })
  })
}
