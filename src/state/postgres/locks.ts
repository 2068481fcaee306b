import type { Op } from '../../core/state.ts'

/** Open buffers are entries of this kind. */
const BUFFER = 'buffer'

/** What an op reads to decide, by name; buffers by the entry that stands for them. */
function lockName(scope: string, op: Op): string {
  switch (op.op) {
    case 'append':
    case 'seal':
      return `e${scope}${BUFFER}:${op.id}`
    case 'count':
    case 'admit':
    case 'slot':
      return `${op.op}${scope}${op.id}`
    case 'record':
      return `r${scope}${op.row.id}`
    default:
      return `e${scope}${op.kind}:${op.id}`
  }
}

/**
 * The advisory lock of an op. They order batches of all nodes key by key: rows alone cannot, as one that is not there yet cannot be
 * locked. Two names that give one number wait for each other without need, and nothing else.
 */
export const lockOf = (scope: string, op: Op): number => number53(lockName(scope, op))
/** In one order on every node: so no two batches wait for each other. */
export const inOrder = (locks: ReadonlySet<number>): number[] => [...locks].sort((a, b) => a - b)

/** 53 bits of a text (cyrb53, public domain): the same on every node, and exact as a number. */
function number53(text: string): number {
  let a = 0xdeadbeef
  let b = 0x41c6ce57
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    a = Math.imul(a ^ c, 2654435761)
    b = Math.imul(b ^ c, 1597334677)
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909)
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909)
  return 4294967296 * (2097151 & b) + (a >>> 0)
}
