import { auditStore } from './scan.ts'

/**
 * Audit backends by their name in `[audit].backend`. Each is built over the rows of the state backend of that name, which owns
 * the file or connection: `auditBackends.sqlite(opened.audit)`.
 */
export const auditBackends = { sqlite: auditStore, postgres: auditStore, dynamodb: auditStore } as const
