/**
 * What crosses to the writer's thread lies in memory that both see: all numbers, then short texts in one; long ones beside them, each
 * on its own. One batch is under way at a time, so the same memory serves them all, and what is posted is where to look. (Cloned, a
 * batch of a thousand actions is copied five times into memory that is new each time; that was a fifth of all that the calling thread
 * did. Records and all in one text is joined in memory that is new each time, too: three times the cost of writing them one by one.)
 */
export interface Packed {
  /** Where to read from now on; absent: where the last one was. */
  readonly memory?: SharedArrayBuffer
  readonly long?: SharedArrayBuffer
  readonly numbers: number
  readonly bytes: number
  /** Lone surrogates have no UTF-8. */
  readonly encoding: 'utf8' | 'utf16le'
}

/** What nearly every batch has room in; a larger one gets memory of its own, which is not kept. Untouched pages take no memory. */
const STANDING_BYTES = 4_194_304
const NUMBER_BYTES = Float64Array.BYTES_PER_ELEMENT
/** Characters from which a text is worth a call of its own. */
const LONG = 200
/** UTF-8 takes no more for a UTF-16 unit. */
const MOST_BYTES = 3
/** In place of a length. */
const UNDEFINED = -1
const NULL = -2
const SAME = -3
/** Followed by its length, and its bytes. */
const BESIDE = -4

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
  #numbers = new Float64Array(4096)
  #n = 0
  #text = ''
  #seen = nothingSeen()
  readonly #standing = new SharedArrayBuffer(STANDING_BYTES)
  #told: SharedArrayBuffer | undefined
  readonly #longMemory = new SharedArrayBuffer(STANDING_BYTES)
  readonly #long = Buffer.from(this.#longMemory)
  #longAt = 0
  #longTold = false

  number(value: number): void {
    if (this.#n === this.#numbers.length) {
      const more = new Float64Array(2 * this.#n)
      more.set(this.#numbers)
      this.#numbers = more
    }
    this.#numbers[this.#n++] = value
  }
  text(value: string): void {
    if (value.length >= LONG && this.#beside(value)) return
    this.number(value.length)
    this.#text += value
  }
  /** False where there is no room, or no UTF-8 for it. */
  #beside(value: string): boolean {
    const { length } = value
    const at = this.#longAt
    if (at + length * MOST_BYTES > STANDING_BYTES || !value.isWellFormed()) return false
    const bytes = this.#long.write(value, at, 'utf8')
    this.#longAt = at + bytes
    this.number(BESIDE)
    this.number(length)
    this.number(bytes)
    return true
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
    this.#text = ''
    this.#longAt = 0
    this.#seen = nothingSeen()
  }
  done(): Packed {
    const numbers = this.#n
    const encoding = this.#text.isWellFormed() ? 'utf8' : 'utf16le'
    const bytes = Buffer.byteLength(this.#text, encoding)
    const from = numbers * NUMBER_BYTES
    const size = from + bytes
    const memory = size <= STANDING_BYTES ? this.#standing : new SharedArrayBuffer(size)
    new Float64Array(memory, 0, numbers).set(this.#numbers.subarray(0, numbers))
    Buffer.from(memory, from, bytes).write(this.#text, encoding)
    this.#text = ''
    const known = memory === this.#told
    this.#told = memory
    const beside = this.#longAt > 0 && !this.#longTold
    this.#longTold ||= beside
    return {
      numbers,
      bytes,
      encoding,
      ...(!known && { memory }),
      ...(beside && { long: this.#longMemory }),
    }
  }
}

/**
 * Reads in the order of writing. Short texts are slices of the one text: whoever keeps one beyond the batch takes a copy of its own,
 * lest it keep the whole batch (`owned`).
 */
export class Unpacker {
  #memory = new SharedArrayBuffer(0)
  #long = Buffer.from(this.#memory)
  #longAt = 0
  #numbers = new Float64Array(this.#memory)
  #at = 0
  #text = ''
  #from = 0
  #seen = nothingSeen()

  begin({ memory, long, numbers, bytes, encoding }: Packed): void {
    if (memory !== undefined) this.#memory = memory
    if (long !== undefined) this.#long = Buffer.from(long)
    this.#longAt = 0
    this.#numbers = new Float64Array(this.#memory, 0, numbers)
    this.#at = 0
    this.#seen = nothingSeen()
    this.#text = Buffer.from(this.#memory, numbers * NUMBER_BYTES, bytes).toString(encoding)
    this.#from = 0
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
    return this.#long.subarray(from, this.#longEnd())
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
  #longEnd(): number {
    this.#longAt += this.number()
    return this.#longAt
  }
  #cut(length: number): string {
    if (length === BESIDE) {
      const units = this.number()
      const start = this.#longAt
      const end = this.#longEnd()
      // As many bytes as units are ASCII, which is cheaper to read.
      return this.#long.toString(end - start === units ? 'latin1' : 'utf8', start, end)
    }
    const from = this.#from
    this.#from = from + length
    return this.#text.slice(from, this.#from)
  }
}
