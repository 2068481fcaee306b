/** The same in the same order, in portions of so much at most; what is more by itself has one of its own. */
export function portions<T>(all: readonly T[], sizeOf: (one: T) => number, most: number): T[][] {
  const made: T[][] = []
  let size = most
  for (const one of all) {
    const more = sizeOf(one)
    if (size + more > most) {
      made.push([])
      size = 0
    }
    made.at(-1)!.push(one)
    size += more
  }
  return made
}
