import type { ProviderType } from '../core/provider.ts'
import { awsEventbridge } from './aws-eventbridge.ts'
import { awsLambda } from './aws-lambda.ts'
import { awsS3 } from './aws-s3.ts'
import { awsSns } from './aws-sns.ts'
import { awsSqs } from './aws-sqs.ts'
import { email } from './email.ts'
import { log } from './log.ts'
import { webhook } from './webhook.ts'

/** Every provider type: one file, one line here. */
export const providerTypes: readonly ProviderType[] = [
  log,
  webhook,
  awsSns,
  awsLambda,
  awsEventbridge,
  awsSqs,
  awsS3,
  email,
]

export { type ProviderErrorCode, providerErrorCodes } from './wire/errors.ts'
