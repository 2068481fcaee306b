import type { Clock } from '../core/clock.ts'

/** What it asks of a process. */
export interface Child {
  readonly env: { readonly [name: string]: string | undefined }
  readonly ppid: number
  readonly connected: boolean
  readonly channel?: { unref(): void } | null | undefined
  once(event: 'disconnect', then: () => void): unknown
}

const LOOK_MS = 250
/** As long as the process is there, this is whose child it was at its start. */
const started = process.ppid

/**
 * Calls `gone` once when the process has lost the one that runs it for somebody else, and would stay behind with the port and the store:
 * an older Node that handed over, or npm, whose shell passes no signal on. A process started otherwise may outlive whoever started it.
 */
export function onParentGone(clock: Clock, gone: () => void, child: Child = process, parent = started): void {
  if (child.env.SIGNALBOX_HANDED_OVER) {
    child.once('disconnect', gone)
    child.channel?.unref() // listening to it would keep the process
    if (!child.connected) gone()
  } else if (ofNpm(child.env)) {
    const look = (): void => void clock.timer(LOOK_MS, () => (child.ppid === parent ? look() : gone()))
    look()
  }
}

/** Run by `npx signalbox` or a script of this package; a script of somebody else's may well start it and end. */
const ofNpm = (env: Child['env']): boolean =>
  env.npm_lifecycle_event === 'npx' || (env.npm_lifecycle_event !== undefined && env.npm_package_name === 'signalbox')
