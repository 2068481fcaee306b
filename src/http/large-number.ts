import { isObject, type Json } from '../core/json.ts'

/** Only an exponent of three digits, or a long run of digits, leads beyond 1.8e308; with one of two digits 210 must stand before it. */
const EXPONENT = /[eE]\+?\d{3}/
const LONG = 200

/** The pointer to a number of the text that JavaScript reads as Infinity, and would write as null; undefined where there is none. */
export const largeNumber = (text: string, read: Json): string | undefined =>
  EXPONENT.test(text) || hasLongRun(text) ? infinite(read, '') : undefined

/** A run of so many has a digit at one of these places: others are not looked at. */
function hasLongRun(text: string): boolean {
  for (let at = LONG - 1; at < text.length; at += LONG) {
    if (!isDigit(text, at)) continue
    let from = at
    let to = at
    while (isDigit(text, from - 1)) from--
    while (isDigit(text, to + 1)) to++
    if (to - from + 1 >= LONG) return true
  }
  return false
}
function isDigit(text: string, at: number): boolean {
  const c = text.charCodeAt(at)
  return c >= 0x30 && c <= 0x39
}

function infinite(value: Json, pointer: string): string | undefined {
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : pointer
  if (!Array.isArray(value) && !isObject(value)) return undefined
  for (const [key, inner] of Object.entries(value as { readonly [key: string]: Json })) {
    const found = infinite(inner, `${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`)
    if (found !== undefined) return found
  }
  return undefined
}
