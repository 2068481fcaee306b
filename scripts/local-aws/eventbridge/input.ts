/** What a target is given: the event, a part of it, fixed text, or a template filled from it. */
import type { Json } from '../wire.ts'

export interface TargetInput {
  Input?: string | undefined
  InputPath?: string | undefined
  InputTransformer?: { InputPathsMap?: Record<string, string> | undefined; InputTemplate: string } | undefined
}

/** `$.detail.items[0].id` */
export const atPath = (event: Json, path: string): Json | undefined => {
  const parts = path.replace(/^\$/, '').match(/[^.[\]'"]+/g) ?? []
  let at: Json | undefined = event
  for (const part of parts) {
    if (Array.isArray(at)) at = at[Number(part)]
    else if (typeof at === 'object' && at !== null && Object.hasOwn(at, part)) at = at[part]
    else return undefined
  }
  return at
}

export const targetInput = (target: TargetInput, event: Json, rule: { Name: string; Arn: string }): string => {
  if (target.Input !== undefined) return target.Input
  if (target.InputPath) return JSON.stringify(atPath(event, target.InputPath) ?? null)
  if (!target.InputTransformer) return JSON.stringify(event)
  const { InputPathsMap = {}, InputTemplate } = target.InputTransformer
  const values: Record<string, Json | undefined> = {
    'aws.events.rule-name': rule.Name,
    'aws.events.rule-arn': rule.Arn,
    'aws.events.event': event,
    'aws.events.event.json': event,
  }
  for (const [name, path] of Object.entries(InputPathsMap)) values[name] = atPath(event, path)
  return fill(InputTemplate, values)
}

/** Inside a JSON string a value goes in as escaped text, elsewhere as JSON (text templates: as plain text). */
const fill = (template: string, values: Record<string, Json | undefined>): string => {
  const isJson = /^\s*[[{]/.test(template)
  let inString = false
  let out = ''
  for (let i = 0; i < template.length; i++) {
    const char = template[i] ?? ''
    const name = char === '<' ? /^<([\w.-]+)>/.exec(template.slice(i))?.[1] : undefined
    if (name !== undefined && name in values) {
      const value = values[name]
      const text = typeof value === 'string' ? value : JSON.stringify(value ?? '').replace(/^""$/, '')
      if (inString) out += JSON.stringify(text).slice(1, -1)
      else out += isJson ? JSON.stringify(value ?? '') : text
      i += name.length + 1
      continue
    }
    if (char === '\\' && inString) {
      out += char + (template[++i] ?? '')
      continue
    }
    if (char === '"') inString = !inString
    out += char
  }
  return out
}
