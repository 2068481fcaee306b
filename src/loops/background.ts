/** The `[background]` section. Equal in shape to the configuration's own, which lives a floor above. */
export interface BackgroundConfig {
  readonly enabled: boolean
  readonly enableGroupFlush: boolean
  readonly enableScheduledActions: boolean
  readonly enableTimeoutProcessing: boolean
  readonly enableRecurringActions: boolean
  readonly enableRetentionReaper: boolean
  readonly groupFlushIntervalSeconds: number
  readonly scheduledCheckIntervalSeconds: number
  readonly timeoutCheckIntervalSeconds: number
  readonly recurringCheckIntervalSeconds: number
  readonly cleanupIntervalSeconds: number
  readonly retentionCheckIntervalSeconds: number
  readonly holdMaxAttempts: number
}
