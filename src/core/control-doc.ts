import { StateUnavailable } from './errors.ts'
import { isObject, jsonOf } from './json.ts'
import { LINEAGE_TOPIC } from './lineage.ts'
import type { ControlDoc } from './state.ts'

/** Something wrote over it, or cut it off: nobody but the gateway writes these. */
export class DamagedDocument extends StateUnavailable {
  override readonly name = 'DamagedDocument'
}

/** A document of a topic whose documents are JSON objects, as this program has written them. Throws DamagedDocument. */
export function readControlDoc<T>(topic: string, { id, value }: Pick<ControlDoc, 'id' | 'value'>): T {
  const read = jsonOf(value)
  if (!isObject(read)) throw new DamagedDocument(damageOf(topic, id))
  return read as T
}
const damageOf = (topic: string, id: string): string =>
  `what is stored of kind control:${topic} under the id ${JSON.stringify(id)} is no JSON object: restore an older backup, or delete this entry and make anew what it was`

/** The same of any topic. The key that signs lineages is a bare text. */
export function checkControlDoc(topic: string, doc: Pick<ControlDoc, 'id' | 'value'>): void {
  if (topic !== LINEAGE_TOPIC) readControlDoc(topic, doc)
}
