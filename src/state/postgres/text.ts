/**
 * Text as PostgreSQL keeps it. Its text has neither NUL nor lone surrogates; such characters, and the two that mark, are written as a
 * mark and what follows. No two texts become one, and what holds none of them is kept as it is.
 */
const MARK = '\u0001'
/** Stands only in keys that were made shorter (`tight` in the tables). */
const SHORTENED = '\u0002'
const ODD = /[\u0000-\u0002]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g
const CODES: { readonly [odd: string]: string } = { '\u0000': '0', [MARK]: '1', [SHORTENED]: '2' }
const BACK: { readonly [code: string]: string } = { 0: '\u0000', 1: MARK, 2: SHORTENED }
const MARKED = new RegExp(`${MARK}(?:([012])|u(....))`, 'g')
const ANY_MARK = /[\u0000-\u0002]/

export const toPg = (text: string): string =>
  text.isWellFormed() && !ANY_MARK.test(text)
    ? text
    : text.replace(ODD, (c) => MARK + (CODES[c] ?? `u${c.charCodeAt(0).toString(16)}`))

export const fromPg = (text: string): string =>
  text.includes(MARK)
    ? text.replace(MARKED, (_, code: string | undefined, hex: string) =>
        code === undefined ? String.fromCharCode(Number.parseInt(hex, 16)) : BACK[code]!,
      )
    : text

/** As a bigint takes it: whole, and no farther from 0 than numbers here are exact. */
export const whole = (n: number): number =>
  Math.round(Math.min(Math.max(n, Number.MIN_SAFE_INTEGER), Number.MAX_SAFE_INTEGER))
