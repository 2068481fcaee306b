import type { AuditRecord } from '../../../src/core/audit.ts'

export interface Event {
  readonly event: string
  /** The last id there was, as a browser keeps it. */
  readonly id: string
  readonly data: string
}

/** Reads server-sent events as a browser does (WHATWG, "event stream interpretation"): what is dispatched, and the last id. */
export function eventReader() {
  let rest = ''
  let id = ''
  let type = ''
  let data: string[] = []
  let lastId = ''
  let retry: number | undefined
  let comments = 0
  const decoder = new TextDecoder()
  return {
    get lastId() {
      return lastId
    },
    get retry() {
      return retry
    },
    get comments() {
      return comments
    },
    take(chunk: Uint8Array): Event[] {
      rest += decoder.decode(chunk, { stream: true })
      const events: Event[] = []
      const lines = rest.split('\n')
      rest = lines.pop()!
      for (const line of lines) {
        if (line === '') {
          lastId = id
          if (data.length > 0) events.push({ event: type || 'message', id, data: data.join('\n') })
          type = ''
          data = []
          continue
        }
        if (line.startsWith(':')) {
          comments++
          continue
        }
        const [, field, value] = /^(\w+): ?(.*)$/.exec(line) ?? []
        if (field === 'id') id = value!
        else if (field === 'event') type = value!
        else if (field === 'data') data.push(value!)
        else if (field === 'retry') retry = Number(value)
        else throw new Error(`no line of an event stream: ${line}`)
      }
      return events
    },
  }
}

export const recordOf = (e: Event): AuditRecord => JSON.parse(e.data) as AuditRecord
