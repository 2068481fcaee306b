/** How long the trail lasts. */
export const HOUR_MS = 3_600_000
/** By then a transaction has been done or never will be, whoever sent it. */
export const SETTLED_MS = 20_000
/** From a position so old on everything can be followed; who was shown it later, as one that idles is, has up to an hour more than two days. */
export const FOLLOWED_MS = 49 * HOUR_MS
/** What the trail says is there for longer than it is looked for. */
export const KEPT_MS = 51 * HOUR_MS
