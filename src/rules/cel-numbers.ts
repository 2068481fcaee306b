import type { Environment } from '@marcbachmann/cel-js'

const ARITHMETIC: { readonly [op: string]: (x: number, y: number) => number } = {
  '+': (x, y) => x + y,
  '-': (x, y) => x - y,
  '*': (x, y) => x * y,
  '/': (x, y) => x / y,
}

/**
 * An int with a double gives a double. CEL has no such operations, as there a type is written down; here a number is an int when it
 * happens to be whole, and a rule that holds for 20.5 must not be in error at 20.
 */
export function registerMixed(environment: Environment): Environment {
  for (const [op, of] of Object.entries(ARITHMETIC)) {
    environment.registerOperator(`int ${op} double`, (x: bigint, y: number) => of(Number(x), y))
    environment.registerOperator(`double ${op} int`, (x: number, y: bigint) => of(x, Number(y)))
  }
  return environment
}
