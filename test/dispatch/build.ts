/** One rule of a file: `action` and `condition` in YAML's flow style. */
export const rule = (name: string, priority: number, action: string, condition = ''): string =>
  `  - name: ${name}\n    priority: ${priority}\n${condition === '' ? '' : `    condition: ${condition}\n`}    action: ${action}\n`
export const rules = (...list: readonly string[]): string =>
  list.length === 0 ? 'rules: []\n' : `rules:\n${list.join('')}`

/** A condition on the action type. */
export const type = (name: string): string => `{ field: action.action_type, eq: ${name} }`
