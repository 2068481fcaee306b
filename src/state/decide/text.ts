/** A text of its own, not a slice of a batch: for whoever keeps it beyond that batch. */
export const owned = (text: string): string => ` ${text}`.slice(1)
