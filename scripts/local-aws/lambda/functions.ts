/** Functions with their versions, aliases and code; and how one is invoked. */
import { createHash, randomUUID } from 'node:crypto'
import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { ACCOUNT, AwsError } from '../wire.ts'
import type { Invocations } from './invocations.ts'
import { openPool, type Pool } from './pool.ts'
import { type Ended, startWorker } from './worker.ts'
import { unzip } from './zip.ts'

/** As the API shows it; fields we have no use for are kept and shown too. */
export interface Configuration {
  FunctionName: string
  FunctionArn: string
  Runtime: string
  Handler: string
  Timeout: number
  MemorySize: number
  Version: string
  CodeSize: number
  CodeSha256: string
  LastModified: string
  RevisionId: string
  Environment?: { Variables?: Record<string, string> | undefined } | undefined
  [more: string]: unknown
}
export interface Version {
  configuration: Configuration
  folder: string
  pool: Pool
}
export interface Alias {
  Name: string
  AliasArn: string
  FunctionVersion: string
  Description: string
}
export interface LambdaFunction {
  name: string
  arn: string
  versions: Map<string, Version>
  aliases: Map<string, Alias>
  policy: { Sid: string; [field: string]: unknown }[]
  tags: Record<string, string>
}

export const LATEST = '$LATEST'
export const notFound = (arn: string): AwsError =>
  new AwsError('ResourceNotFoundException', `Function not found: ${arn}`, 404, { Type: 'User' })

/** `name`, `account:function:name` or an ARN, each perhaps with `:qualifier`. */
export const functionName = (given: string): { name: string; qualifier: string | undefined } => {
  const [name = '', qualifier] = given.replace(/^.*function:/, '').split(':')
  return { name, qualifier }
}

export interface Surroundings {
  /** Where unpacked code goes. */
  folder: string
  endpoint: () => string
  invocations: Invocations
}

export class Functions {
  readonly all = new Map<string, LambdaFunction>()
  readonly region: string
  readonly #around: Surroundings
  /** Those of replaced and deleted functions too: one of them may still be at work. */
  readonly #pools = new Set<Pool>()

  constructor(region: string, around: Surroundings) {
    this.region = region
    this.#around = around
  }

  arn(name: string): string {
    return `arn:aws:lambda:${this.region}:${ACCOUNT}:function:${name}`
  }

  get(given: string): LambdaFunction {
    const { name } = functionName(given)
    const found = this.all.get(name)
    if (!found) throw notFound(this.arn(name))
    return found
  }

  version(of: LambdaFunction, qualifier: string = LATEST): Version {
    const number = of.aliases.get(qualifier)?.FunctionVersion ?? qualifier
    const found = of.versions.get(number)
    if (!found) throw notFound(`${of.arn}:${qualifier}`)
    return found
  }

  /** Unpacks the code and starts with fresh workers. `set` is what the caller configures. */
  async put(of: LambdaFunction, set: Partial<Configuration>, zip?: Buffer): Promise<Configuration> {
    const before = of.versions.get(LATEST)
    const configuration: Configuration = {
      Description: '',
      Timeout: 3,
      MemorySize: 128,
      Runtime: '',
      Handler: '',
      PackageType: 'Zip',
      Architectures: ['x86_64'],
      TracingConfig: { Mode: 'PassThrough' },
      CodeSize: 0,
      CodeSha256: '',
      ...before?.configuration,
      ...set,
      FunctionName: of.name,
      FunctionArn: of.arn,
      Version: LATEST,
      State: 'Active',
      LastUpdateStatus: 'Successful',
      LastModified: new Date().toISOString().replace('Z', '+0000'),
      RevisionId: randomUUID(),
    }
    let folder = before?.folder ?? ''
    if (zip) {
      folder = await mkdtemp(join(this.#around.folder, `${of.name}-`))
      await unzip(zip, folder)
      configuration.CodeSize = zip.length
      configuration.CodeSha256 = createHash('sha256').update(zip).digest('base64')
    }
    before?.pool.retire()
    of.versions.set(LATEST, this.#open(configuration, folder))
    return configuration
  }

  publish(of: LambdaFunction, Description?: string): Configuration {
    const { configuration, folder } = this.version(of)
    const Version = String(of.versions.size)
    const FunctionArn = `${of.arn}:${Version}`
    const published = { ...configuration, Version, FunctionArn, ...(Description ? { Description } : {}) }
    of.versions.set(Version, this.#open(published, folder))
    return published
  }

  delete(of: LambdaFunction): void {
    for (const { pool } of of.versions.values()) pool.retire()
    this.all.delete(of.name)
  }

  /** @param context JSON text of the client context */
  async invoke(
    version: Version,
    invokedArn: string,
    payload: string,
    context?: string,
  ): Promise<{ id: string; ended: Ended; log: string }> {
    const id = randomUUID()
    const at = new Date().toISOString()
    const { FunctionName, Timeout } = version.configuration
    const given = { id, payload, arn: invokedArn, ...(context === undefined ? {} : { context }) }
    const { ended, log } = await version.pool.run(given, Timeout * 1000)
    this.#around.invocations.add({
      function: FunctionName,
      payload: JSON.parse(payload) as unknown,
      client_context: context === undefined ? null : (JSON.parse(context) as unknown),
      ...('fault' in ended ? { error: ended.fault } : { result: JSON.parse(ended.result) as unknown }),
      at,
    })
    return { id, ended, log }
  }

  #open(configuration: Configuration, folder: string): Version {
    const env = {
      ...Object.fromEntries(['PATH', 'HOME', 'TMPDIR'].flatMap((name) => [[name, process.env[name] ?? '']])),
      LANG: 'C.UTF-8',
      TZ: ':UTC',
      AWS_REGION: this.region,
      AWS_DEFAULT_REGION: this.region,
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      AWS_ENDPOINT_URL: this.#around.endpoint(),
      AWS_LAMBDA_FUNCTION_NAME: configuration.FunctionName,
      AWS_LAMBDA_FUNCTION_VERSION: configuration.Version,
      AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(configuration.MemorySize),
      AWS_LAMBDA_LOG_GROUP_NAME: `/aws/lambda/${configuration.FunctionName}`,
      AWS_LAMBDA_LOG_STREAM_NAME: `local/[${configuration.Version}]`,
      AWS_EXECUTION_ENV: `AWS_Lambda_${configuration.Runtime}`,
      LAMBDA_TASK_ROOT: folder,
      ...configuration.Environment?.Variables,
      _HANDLER: configuration.Handler,
    }
    const pool = openPool(() => startWorker({ runtime: configuration.Runtime, folder, env }))
    this.#pools.add(pool)
    return { configuration, folder, pool }
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#pools].map((pool) => pool.stop()))
  }
}
