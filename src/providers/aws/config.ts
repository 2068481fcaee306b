import { z } from 'zod'

/** Keys that every AWS type takes. */
export const awsKeys = {
  aws_region: z.string().min(1).optional().describe('default: the environment variable AWS_REGION'),
  aws_endpoint_url: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('another endpoint, such as LocalStack'),
  aws_role_arn: z.string().min(1).optional().describe('a role to assume; its credentials refresh before they expire'),
  aws_external_id: z.string().min(1).optional(),
  aws_session_name: z
    .string()
    .regex(/^[\w+=,.@-]{2,64}$/, 'expected 2 to 64 of the characters A-Z a-z 0-9 _ + = , . @ -')
    .default('signalbox'),
}
export interface AwsConfig {
  readonly aws_region?: string | undefined
  readonly aws_endpoint_url?: string | undefined
  readonly aws_role_arn?: string | undefined
  readonly aws_external_id?: string | undefined
  readonly aws_session_name: string
}

/** The configured region, else AWS_REGION, else undefined: a load error. */
export const regionOf = (c: { readonly aws_region?: string | undefined }): string | undefined =>
  c.aws_region ?? (process.env.AWS_REGION || undefined)

export const REGION_MISSING = 'set aws_region, or the environment variable AWS_REGION'

type Issues = { addIssue(issue: { code: 'custom'; path: string[]; message: string }): void }

/** What no single key can say: a region from somewhere, and an external id only beside a role. */
export function checkAws(c: AwsConfig, ctx: Issues): void {
  if (regionOf(c) === undefined) ctx.addIssue({ code: 'custom', path: ['aws_region'], message: REGION_MISSING })
  if (c.aws_external_id !== undefined && c.aws_role_arn === undefined)
    ctx.addIssue({ code: 'custom', path: ['aws_external_id'], message: 'has no effect without aws_role_arn' })
}

/** The strict schema of an AWS type: its own keys and the shared ones. */
export const awsConfig = <S extends z.core.$ZodShape>(own: S) =>
  z.strictObject({ ...own, ...awsKeys }).superRefine((c, ctx) => checkAws(c as AwsConfig, ctx))
