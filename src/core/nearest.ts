/** Optimal string alignment distance (Damerau-Levenshtein without repeated edits), ignoring case. */
function distance(a: string, b: string): number {
  const x = a.toLowerCase()
  const y = b.toLowerCase()
  let before: number[] = []
  let previous = Array.from({ length: y.length + 1 }, (_, j) => j)
  for (let i = 1; i <= x.length; i++) {
    const row = [i]
    for (let j = 1; j <= y.length; j++) {
      const same = x[i - 1] === y[j - 1] ? 0 : 1
      let d = Math.min(row[j - 1]! + 1, previous[j]! + 1, previous[j - 1]! + same)
      if (i > 1 && j > 1 && x[i - 1] === y[j - 2] && x[i - 2] === y[j - 1]) d = Math.min(d, before[j - 2]! + 1)
      row.push(d)
    }
    before = previous
    previous = row
  }
  return previous[y.length]!
}

/** The known word most like the one written, or undefined when none is close enough to be meant. */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(1, Math.floor(word.length / 2))
  if (word.length > 200) return undefined
  for (const k of known) {
    const d = distance(word, k)
    if (d < bestDistance || (d === bestDistance && best === undefined)) {
      best = k
      bestDistance = d
    }
  }
  return best
}

/** ` Did you mean "x"?`, or nothing: made to be appended to a message. */
export function didYouMean(word: string, known: Iterable<string>): string {
  const n = nearest(word, known)
  return n === undefined ? '' : `; did you mean "${n}"?`
}
