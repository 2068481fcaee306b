type Camel<S extends string> = S extends `${infer A}_${infer B}` ? `${A}${Capitalize<Camel<B>>}` : S
export type CamelKeys<T> = { [K in keyof T as K extends string ? Camel<K> : K]: T[K] }

/** The table with `snake_case` keys as `camelCase`; one level. */
export function camelKeys<T extends object>(table: T): CamelKeys<T> {
  const pairs = Object.entries(table).map(([k, v]) => [k.replace(/_([a-z])/g, (_, c: string) => c.toUpperCase()), v])
  return Object.fromEntries(pairs) as CamelKeys<T> // the same rule as the type's, applied to its keys
}
