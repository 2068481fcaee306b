import { ABORTED, type Clock } from './clock.ts'

/** A bell beside a sleep: rung while nobody sleeps, it ends the next sleep at once. */
export class Bell {
  #rung = false
  #wake: (() => void) | undefined

  ring(): void {
    this.#rung = true
    this.#wake?.()
  }
  answer(): void {
    this.#rung = false
  }
  async sleep(clock: Clock, ms: number, stop: AbortSignal): Promise<void> {
    if (this.#rung || ms <= 0 || stop.aborted) return
    const woken = new AbortController()
    const wake = () => woken.abort(ABORTED)
    this.#wake = wake
    stop.addEventListener('abort', wake, { once: true })
    await clock.sleep(ms, woken.signal)
    stop.removeEventListener('abort', wake)
    this.#wake = undefined
  }
}
