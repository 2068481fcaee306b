/** Words longer than this are not guessed at, and no guess is further off than this: what a typing slip can explain. */
const LONGEST_WORD = 200
const FURTHEST = 10

/**
 * Optimal string alignment distance (Damerau-Levenshtein without repeated edits) when it is at most `limit`, else more than
 * `limit`. Only the band of the table that can hold such a distance is filled (Ukkonen 1985), and it ends as soon as two rows
 * are past it, so that a list of ten thousand long names costs milliseconds.
 */
function distance(x: string, y: string, limit: number): number {
  if (Math.abs(x.length - y.length) > limit) return limit + 1
  const over = limit + 1
  let before = new Array<number>(y.length + 1).fill(over)
  let previous = Array.from({ length: y.length + 1 }, (_, j) => j)
  let row = new Array<number>(y.length + 1).fill(over)
  let leastBefore = 0
  for (let i = 1; i <= x.length; i++) {
    const from = Math.max(1, i - limit)
    const to = Math.min(y.length, i + limit)
    row[from - 1] = from === 1 ? i : over
    let least = row[from - 1]!
    for (let j = from; j <= to; j++) {
      const same = x[i - 1] === y[j - 1] ? 0 : 1
      const above = j === i + limit ? over : previous[j]!
      let d = Math.min(row[j - 1]! + 1, above + 1, previous[j - 1]! + same)
      if (i > 1 && j > 1 && x[i - 1] === y[j - 2] && x[i - 2] === y[j - 1]) d = Math.min(d, before[j - 2]! + 1)
      row[j] = d
      if (d < least) least = d
    }
    // A swap reaches back two rows.
    if (least > limit && leastBefore > limit) return over
    leastBefore = least
    ;[before, previous, row] = [previous, row, before]
  }
  return previous[y.length]!
}

/** The known word most like the one written, case ignored, or undefined when none is close enough to be meant: at most half of it wrong. */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  if (word.length > LONGEST_WORD) return undefined
  const written = word.toLowerCase()
  let best: string | undefined
  let limit = Math.min(FURTHEST, Math.max(1, Math.floor(word.length / 2)))
  for (const k of known) {
    const d = distance(written, k.toLowerCase(), limit)
    if (d > limit) continue
    best = k
    if (d === 0) break
    limit = d - 1 // the first of two that are as near
  }
  return best
}

/** What other tools call it. Where a word means one of these, likeness would lead astray: `and` is one letter from `any`. */
const ELSEWHERE: { readonly [word: string]: readonly string[] } = {
  and: ['all'],
  or: ['any'],
  '==': ['eq'],
  '=': ['eq'],
  '!=': ['ne'],
  '>': ['gt'],
  '>=': ['gte'],
  ge: ['gte'],
  '<': ['lt'],
  '<=': ['lte'],
  le: ['lte'],
  when: ['condition'],
  if: ['condition'],
  match: ['condition', 'matches'],
  expr: ['cel'],
  drop: ['suppress'],
  discard: ['suppress'],
  ignore: ['suppress', 'continue'],
  silence: ['suppress'],
  reject: ['deny'],
  dedup: ['deduplicate'],
  dedupe: ['deduplicate'],
  forward: ['reroute'],
  delay: ['schedule'],
  depends_on: ['needs'],
  http: ['webhook'],
  https: ['webhook'],
  slack: ['webhook'],
  smtp: ['email'],
  mail: ['email'],
  ses: ['email'],
}

/** The one known word that has this one among its parts: `timeout` is `timeout_seconds`, `sns` is `aws-sns`. */
function wordWithPart(word: string, known: readonly string[]): string | undefined {
  const part = `_${word.toLowerCase().replaceAll('-', '_')}_`
  const having = known.filter((k) => `_${k.toLowerCase().replaceAll('-', '_')}_`.includes(part))
  return having.length === 1 ? having[0] : undefined
}

/** The known word that was meant: as other tools call it, of which it is a part, or else the most like it. */
export function meant(word: string, known: readonly string[]): string | undefined {
  const same = Object.hasOwn(ELSEWHERE, word) ? ELSEWHERE[word]!.find((w) => known.includes(w)) : undefined
  return same ?? wordWithPart(word, known) ?? nearest(word, known)
}

/** Words compared for hints in one go: a text with a hundred thousand slips gets hints for the first of them, and holds nobody up. */
const MOST_COMPARED = 20_000
let compared = 0

/** `; did you mean "x"?`, or nothing: made to be appended to a message. Nothing, too, after very many in one turn. */
export function didYouMean(word: string, known: Iterable<string>): string {
  if (compared === 0)
    queueMicrotask(() => {
      compared = 0
    })
  if (compared >= MOST_COMPARED) return ''
  const words = [...known]
  compared += words.length
  const n = meant(word, words)
  return n === undefined ? '' : `; did you mean "${n}"?`
}
