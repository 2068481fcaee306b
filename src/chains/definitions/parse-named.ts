import { Problem } from '../../core/errors.ts'
import { isObject, type Json } from '../../core/json.ts'
import type { ChainDefinition, DefinitionIssue } from '../model/definition.ts'
import type { ParsedDefinitions } from './parse.ts'

/** The definition in the body of a request whose address names it; throws Problem 422 with pointers. */
export function parseNamed(
  name: string,
  body: Json,
  parse: (raw: readonly unknown[]) => ParsedDefinitions,
): { readonly definition: ChainDefinition; readonly warnings: readonly DefinitionIssue[] } {
  const named = isObject(body) && !Object.hasOwn(body, 'name') ? { name, ...body } : body
  const parsed = parse([named])
  const definition = parsed.definitions[0]
  const errors = parsed.issues.filter((i) => i.severity === 'error')
  if (definition && definition.name !== name) {
    const message = `the body is named "${definition.name}", the address "${name}"`
    errors.push({ path: [0, 'name'], message, severity: 'error' })
  }
  if (!definition || errors.length > 0)
    throw new Problem(422, 'invalid_chain', 'the chain definition is not valid', {
      errors: errors.map((e) => ({ pointer: pointer(e.path.slice(1)), message: e.message })),
    })
  return { definition, warnings: parsed.issues.filter((i) => i.severity === 'warning') }
}

/** RFC 6901. */
const pointer = (path: readonly (string | number)[]): string =>
  path.map((p) => `/${String(p).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
