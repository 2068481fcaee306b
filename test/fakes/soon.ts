/**
 * For `vi.waitFor` and `vi.waitUntil`, whose own limit is a second: what is waited for ends the wait when it is there,
 * so the limit is for a machine that has much else to do. Looked at often, as some of it passes. Milliseconds.
 */
export const SOON = { timeout: 30_000, interval: 1 } as const

/** For what is promised within a second: a machine with much other work adds some of its own. */
export const PROMISED_MS = 5000
