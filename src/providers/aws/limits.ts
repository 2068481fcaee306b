/** Sizes at which SQS, SNS and EventBridge have refused a message or an event, by service and year. Bytes. */
const LIMITS = [262_144, 1_048_576]

/** Would this much more be what a message is refused for? */
export const crossesLimit = (bytes: number, more: number): boolean =>
  LIMITS.some((limit) => bytes <= limit && bytes + more > limit)
