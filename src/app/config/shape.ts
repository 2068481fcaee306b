import type { z } from 'zod'

type Schema = z.core.$ZodType
/** What a value may be, as far as a schema tells. `any`: it does not. */
export type Kind = 'string' | 'number' | 'boolean' | 'array' | 'table' | 'any'

/** The alternatives a schema stands for, with optional, default and the like taken off. */
function alternatives(schema: Schema): readonly z.core.$ZodTypes[] {
  const s = schema as z.core.$ZodTypes // zod's own list of what a schema can be: its `def.type` tells them apart
  const def = s._zod.def
  switch (def.type) {
    case 'optional':
    case 'nullable':
    case 'default':
    case 'prefault':
    case 'nonoptional':
    case 'readonly':
    case 'catch':
      return alternatives(def.innerType)
    case 'pipe':
      return alternatives(def.in)
    case 'union':
      return def.options.flatMap(alternatives)
    case 'intersection':
      return [...alternatives(def.left), ...alternatives(def.right)]
    case 'lazy':
      return alternatives(def.getter())
    default:
      return [s]
  }
}

/** The keys a table of this schema may have. */
export function keysOf(schema: Schema | undefined): readonly string[] {
  if (!schema) return []
  const keys = alternatives(schema).flatMap((s) => (s._zod.def.type === 'object' ? Object.keys(s._zod.def.shape) : []))
  return [...new Set(keys)]
}

/** The schema of what stands at this key or index; undefined when nothing is known of it. */
export function childOf(schema: Schema | undefined, key: string | number): Schema | undefined {
  if (!schema) return undefined
  for (const s of alternatives(schema)) {
    const def = s._zod.def
    if (def.type === 'object' && Object.hasOwn(def.shape, key)) return def.shape[key]
    if (def.type === 'record') return def.valueType
    if (def.type === 'array' && typeof key === 'number') return def.element
  }
  return undefined
}

export function kindsOf(schema: Schema | undefined): ReadonlySet<Kind> {
  if (!schema) return new Set(['any'])
  return new Set(alternatives(schema).flatMap(kindOf))
}
function kindOf(s: z.core.$ZodTypes): Kind[] {
  const def = s._zod.def
  switch (def.type) {
    case 'string':
    case 'template_literal':
      return ['string']
    case 'number':
      return ['number']
    case 'boolean':
      return ['boolean']
    case 'array':
    case 'tuple':
      return ['array']
    case 'object':
    case 'record':
      return ['table']
    case 'enum':
      return kindOfValues(Object.values(def.entries))
    case 'literal':
      return kindOfValues(def.values)
    case 'null':
    case 'undefined':
    case 'never':
      return []
    default:
      return ['any']
  }
}
const kindOfValues = (values: readonly unknown[]): Kind[] =>
  values.flatMap((v): Kind[] => {
    const t = typeof v
    return t === 'string' || t === 'number' || t === 'boolean' ? [t] : []
  })
