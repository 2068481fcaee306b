/** An API that speaks JSON, as far as the checks ask it: the gateway's, and the receiver's. */

export type Row = Readonly<Record<string, unknown>>

export interface Api {
  /** The parsed body of a GET that answers 200. */
  get(path: string): Promise<Row>
  /** Every page of a list. */
  all(path: string, items: string): Promise<readonly Row[]>
  /** The parsed body of a POST that answers 2xx. */
  post(path: string, body?: object): Promise<Row>
}

export function openApi(base: string): Api {
  const ask = async (path: string, method = 'GET', body?: object): Promise<Row> => {
    const sent = body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
    const response = await fetch(`${base}${path}`, { method, ...sent })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
    return JSON.parse(text) as Row
  }
  return {
    get: (path) => ask(path),
    async all(path, items) {
      const rows: Row[] = []
      let cursor: unknown
      do {
        const page = await ask(
          `${path}${path.includes('?') ? '&' : '?'}limit=1000${typeof cursor === 'string' ? `&cursor=${encodeURIComponent(cursor)}` : ''}`,
        )
        rows.push(...(page[items] as Row[]))
        cursor = page['next_cursor']
      } while (typeof cursor === 'string')
      return rows
    },
    post: (path, body) => ask(path, 'POST', body),
  }
}

/** A field at any depth; undefined where there is none. */
export const at = (value: unknown, ...path: readonly (string | number)[]): unknown =>
  path.reduce<unknown>((v, key) => (typeof v === 'object' && v !== null ? (v as Row)[key] : undefined), value)
