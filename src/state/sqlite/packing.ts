import { MOST_BYTES } from '../../core/utf8.ts'

/**
 * What crosses to the writer's thread lies in memory that both see: all numbers, all short texts one behind the other, and long ones
 * apart from them. One batch is under way at a time, so the same memory serves them all, and what is posted is where to look. (Cloned,
 * a batch of a thousand actions is copied five times into memory that is new each time; that was a fifth of all that the calling thread
 * did. Short texts joined in one before they are written cost five times what writing each costs.) They are read as one, and cut: a
 * cut is no copy.
 */
export interface Packed {
  /** How many. */
  readonly numbers: number
  /** Of the short texts: in UTF-8, and in UTF-16 units. */
  readonly bytes: number
  readonly units: number
  /** Where to read from now on, of each; absent: where the last one was. */
  readonly numbersIn?: SharedArrayBuffer
  readonly shortIn?: SharedArrayBuffer
  readonly longIn?: SharedArrayBuffer
}

/** What nearly every batch has room in; one that needs more gets memory of its own, which is not kept. Untouched pages take no memory. */
const STANDING_BYTES = 4_194_304
/** UTF-16 units from which a text is read by itself: not all of them are asked for, and then as they came. */
const LONG = 200
/** In place of a length. */
const UNDEFINED = -1
const NULL = -2
const SAME = -3
/** Followed by its units and its bytes. */
const BESIDE = -4
/** As it is in UTF-16, since half of a pair has no UTF-8; followed by its units. */
const HALVES = -5

/** Memory of one kind, on the writing side. */
class Memory<View extends Buffer | Float64Array> {
  readonly #over: (shared: SharedArrayBuffer) => View
  readonly #standing: View
  view: View
  #told: ArrayBufferLike | undefined
  constructor(over: (shared: SharedArrayBuffer) => View) {
    this.#over = over
    this.#standing = over(new SharedArrayBuffer(STANDING_BYTES))
    this.view = this.#standing
  }
  begin(): void {
    this.view = this.#standing
  }
  /** Room for so many more elements behind those in use. */
  grow(used: number, more: number): void {
    const { length, BYTES_PER_ELEMENT } = this.view
    const larger = this.#over(new SharedArrayBuffer(BYTES_PER_ELEMENT * Math.max(2 * length, used + more)))
    larger.set(this.view.subarray(0, used))
    this.view = larger
  }
  /** What the other side has to know before it reads. */
  news(): SharedArrayBuffer | undefined {
    const { buffer } = this.view
    if (buffer === this.#told) return undefined
    this.#told = buffer
    return buffer as SharedArrayBuffer
  }
}
const numbersOver = (shared: SharedArrayBuffer): Float64Array => new Float64Array(shared)
const bytesOver = (shared: SharedArrayBuffer): Buffer => Buffer.from(shared)

/** Where the same text most often comes again and again: it is written once, and then named. */
export type Place = 'scope' | 'kind' | 'namespace' | 'tenant' | 'counted' | 'admitted'
type Seen = { [P in Place]: string | undefined }
const nothingSeen = (): Seen => ({
  scope: undefined,
  kind: undefined,
  namespace: undefined,
  tenant: undefined,
  counted: undefined,
  admitted: undefined,
})

export class Packer {
  readonly #numbers = new Memory(numbersOver)
  readonly #short = new Memory(bytesOver)
  readonly #long = new Memory(bytesOver)
  #n = 0
  #shortAt = 0
  #units = 0
  #longAt = 0
  #seen = nothingSeen()

  number(value: number): void {
    if (this.#n === this.#numbers.view.length) this.#numbers.grow(this.#n, 1)
    this.#numbers.view[this.#n++] = value
  }
  text(value: string): void {
    const { length } = value
    const most = length * MOST_BYTES
    if (length >= LONG || !value.isWellFormed()) {
      this.#beside(value, most)
      return
    }
    if (this.#shortAt + most > this.#short.view.length) this.#short.grow(this.#shortAt, most)
    this.number(length)
    this.#shortAt += this.#short.view.write(value, this.#shortAt)
    this.#units += length
  }
  #beside(value: string, most: number): void {
    const at = this.#longAt
    if (at + most > this.#long.view.length) this.#long.grow(at, most)
    const { view } = this.#long
    const whole = value.isWellFormed()
    const bytes = whole ? view.write(value, at) : view.write(value, at, 'utf16le')
    this.#longAt = at + bytes
    this.number(whole ? BESIDE : HALVES)
    this.number(value.length)
    if (whole) this.number(bytes)
  }
  again(place: Place, value: string): void {
    if (this.#seen[place] === value) {
      this.number(SAME)
      return
    }
    this.#seen[place] = value
    this.text(value)
  }
  maybeNumber(value: number | undefined): void {
    this.number(value ?? Number.NaN)
  }
  maybeText(value: string | null | undefined): void {
    if (value == null) this.number(value === null ? NULL : UNDEFINED)
    else this.text(value)
  }
  maybeFlag(value: boolean | undefined): void {
    this.number(value === undefined ? UNDEFINED : Number(value))
  }
  /** For what is rare. */
  json(value: unknown): void {
    this.text(JSON.stringify(value))
  }

  begin(): void {
    this.#n = 0
    this.#shortAt = 0
    this.#units = 0
    this.#longAt = 0
    this.#seen = nothingSeen()
    for (const memory of [this.#numbers, this.#short, this.#long]) memory.begin()
  }
  done(): Packed {
    const numbersIn = this.#numbers.news()
    const shortIn = this.#short.news()
    const longIn = this.#long.news()
    return {
      numbers: this.#n,
      bytes: this.#shortAt,
      units: this.#units,
      ...(numbersIn && { numbersIn }),
      ...(shortIn && { shortIn }),
      ...(longIn && { longIn }),
    }
  }
}

/**
 * Reads in the order of writing. Short texts are slices of the one text: whoever keeps one beyond the batch takes a copy of its own,
 * lest it keep the whole batch (`owned`).
 */
export class Unpacker {
  #numbers: Float64Array = new Float64Array(0)
  #short: Buffer = Buffer.alloc(0)
  #long: Buffer = Buffer.alloc(0)
  #at = 0
  #longAt = 0
  #text = ''
  #from = 0
  #seen = nothingSeen()

  begin({ bytes, units, numbersIn, shortIn, longIn }: Packed): void {
    if (numbersIn !== undefined) this.#numbers = numbersOver(numbersIn)
    if (shortIn !== undefined) this.#short = bytesOver(shortIn)
    if (longIn !== undefined) this.#long = bytesOver(longIn)
    this.#at = 0
    this.#longAt = 0
    this.#text = decoded(this.#short, 0, bytes, units)
    this.#from = 0
    this.#seen = nothingSeen()
  }
  number(): number {
    return this.#numbers[this.#at++]!
  }
  text(): string {
    return this.#cut(this.number())
  }
  /** A long text as its UTF-8, to be read before the batch is answered; any other as it is. */
  textOrBytes(): string | Uint8Array {
    const length = this.number()
    if (length !== BESIDE) return this.#cut(length)
    this.#at++
    const from = this.#longAt
    this.#longAt += this.number()
    return this.#long.subarray(from, this.#longAt)
  }
  again(place: Place): string {
    const length = this.number()
    if (length === SAME) return this.#seen[place]!
    const value = this.#cut(length)
    this.#seen[place] = value
    return value
  }
  maybeNumber(): number | undefined {
    const value = this.number()
    return Number.isNaN(value) ? undefined : value
  }
  maybeText(): string | undefined {
    return this.nullableText() ?? undefined
  }
  nullableText(): string | null | undefined {
    const length = this.number()
    if (length === NULL) return null
    return length === UNDEFINED ? undefined : this.#cut(length)
  }
  maybeFlag(): boolean | undefined {
    const value = this.number()
    return value === UNDEFINED ? undefined : value === 1
  }
  json(): unknown {
    return JSON.parse(this.text())
  }
  #cut(length: number): string {
    if (length < 0) return this.#besides(length)
    const from = this.#from
    this.#from = from + length
    return this.#text.slice(from, this.#from)
  }
  #besides(how: number): string {
    const units = this.number()
    const from = this.#longAt
    this.#longAt += how === HALVES ? 2 * units : this.number()
    return how === HALVES
      ? this.#long.toString('utf16le', from, this.#longAt)
      : decoded(this.#long, from, this.#longAt, units)
  }
}

/** As many bytes as units are ASCII, which is cheaper to read. */
const decoded = (from: Buffer, start: number, end: number, units: number): string =>
  from.toString(end - start === units ? 'latin1' : 'utf8', start, end)
