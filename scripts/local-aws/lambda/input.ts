/** The bodies Lambda's REST calls take, as far as we use them. */
import { z } from 'zod'
import { AwsError, parseBody } from '../wire.ts'

const text = z.string()
const code = {
  ZipFile: text.optional(),
  S3Bucket: text.optional(),
  S3Key: text.optional(),
}
const settings = {
  Runtime: text.optional(),
  Handler: text.optional(),
  Role: text.regex(/^arn:aws[\w-]*:iam::\d{12}:role\/[\w+=,.@/-]+$/).optional(),
  Description: text.max(256).optional(),
  Timeout: z.number().int().min(1).max(900).optional(),
  MemorySize: z.number().int().min(128).max(10240).optional(),
  Environment: z.looseObject({ Variables: z.record(text, text).optional() }).optional(),
}
export const codeInput = z.looseObject({ ...code, Publish: z.boolean().optional(), DryRun: z.boolean().optional() })
export const settingsInput = z.looseObject(settings)
export const createInput = z.looseObject({
  ...settings,
  Role: settings.Role.unwrap(),
  FunctionName: text.regex(/^(arn:aws:lambda:[\w-]+:\d{12}:function:|\d{12}:function:)?[\w-]{1,64}$/),
  Code: z.looseObject(code),
  PackageType: text.optional(),
  Publish: z.boolean().optional(),
  Tags: z.record(text, text).optional(),
})
export const versionInput = z.looseObject({ Description: text.optional() })
export const aliasInput = z.looseObject({
  Name: text.optional(),
  FunctionVersion: text.optional(),
  Description: text.optional(),
})
export const permissionInput = z.looseObject({
  StatementId: text,
  Action: text,
  Principal: text,
  SourceArn: text.optional(),
})
export const tagsInput = z.looseObject({ Tags: z.record(text, text) })

export type Code = z.infer<typeof codeInput>

/** Reads a body, or says every way in which it is wrong. */
export const read = <T>(shape: z.ZodType<T>, body: Buffer): T => {
  const parsed = shape.safeParse(parseBody(body))
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.map(
    ({ path, message }) => `Value at '${path.join('.')}' failed to satisfy constraint: ${message}`,
  )
  throw new AwsError('ValidationException', `${problems.length} validation error(s) detected: ${problems.join('; ')}`)
}
