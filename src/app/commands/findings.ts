import { type Finding, showFinding } from '../../core/errors.ts'

export function printFindings(findings: readonly Finding[], print: (line: string) => void): void {
  for (const f of findings) print(showFinding(f))
}
/** `2 errors, 1 warning`. */
export function countFindings(findings: readonly Finding[]): string {
  return (['error', 'warning'] as const)
    .map((severity) => counted(findings.filter((f) => f.severity === severity).length, severity))
    .join(', ')
}
export const counted = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`
