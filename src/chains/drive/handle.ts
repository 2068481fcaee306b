/** How others reach the driver of an execution, from before it has begun to listen. */
export interface Handle {
  mail(): void
  stop(): void
  attach(h: { mail(): void; stop(): void }): void
}
export function createHandle(): Handle {
  let to: { mail(): void; stop(): void } | undefined
  let mail = false
  let stopped = false
  return {
    mail() {
      mail = true
      to?.mail()
    },
    stop() {
      stopped = true
      to?.stop()
    },
    attach(h) {
      to = h
      if (mail) h.mail()
      if (stopped) h.stop()
    },
  }
}
