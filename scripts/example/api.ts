/** The gateway's API, as far as the checks ask it. */

export type Row = Readonly<Record<string, unknown>>

export interface Api {
  /** The parsed body of a GET that answers 200. */
  get(path: string): Promise<Row>
  /** Every page of a list. */
  all(path: string, items: string): Promise<readonly Row[]>
  post(path: string): Promise<void>
}

export const SCOPE = 'namespace=iot&tenant=smartbuilding-hq'

export function openApi(base: string): Api {
  const ask = async (path: string, method = 'GET'): Promise<Row> => {
    const response = await fetch(`${base}${path}`, { method })
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
          `${path}&limit=1000${typeof cursor === 'string' ? `&cursor=${encodeURIComponent(cursor)}` : ''}`,
        )
        rows.push(...(page[items] as Row[]))
        cursor = page['next_cursor']
      } while (typeof cursor === 'string')
      return rows
    },
    post: async (path) => void (await ask(path, 'POST')),
  }
}

/** A field at any depth; undefined where there is none. */
export const at = (value: unknown, ...path: readonly (string | number)[]): unknown =>
  path.reduce<unknown>((v, key) => (typeof v === 'object' && v !== null ? (v as Row)[key] : undefined), value)
