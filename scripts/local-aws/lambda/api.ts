/** Lambda over its REST protocol. */
import {
  type Answer,
  AwsError,
  asAwsError,
  type Call,
  json,
  jsonError,
  parseArn,
  perRegion,
  type Service,
} from '../wire.ts'
import { Functions, functionName, type LambdaFunction, type Surroundings } from './functions.ts'
import {
  aliasInput,
  type Code,
  codeInput,
  createInput,
  permissionInput,
  read,
  settingsInput,
  tagsInput,
  versionInput,
} from './input.ts'
import { invoke } from './invoke.ts'

export interface Lambda {
  service: Service
  /** An asynchronous call from another service. Throws when there is no such function. */
  invoke(functionArn: string, payload: string): Promise<void>
  close(): Promise<void>
}
type ReadObject = (bucket: string, key: string) => Promise<Buffer>

interface Asked {
  functions: Functions
  call: Call
  body: Buffer
  /** The parts of the path after the operation's own words, decoded. */
  name: string
  last: string
  qualifier: string | undefined
}
type Operation = (asked: Asked) => Answer | Promise<Answer>

const checkRuntime = (runtime: string): void => {
  if (/^(nodejs\d+\.x|python3\.\d+)$/.test(runtime)) return
  throw new AwsError(
    'InvalidParameterValueException',
    `Value ${runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [nodejs*.x, python3.*]`,
  )
}
const conflict = (message: string): AwsError =>
  new AwsError('ResourceConflictException', message, 409, { Type: 'User' })
const missing = (message: string): AwsError => new AwsError('ResourceNotFoundException', message, 404, { Type: 'User' })
const alias = (of: LambdaFunction, name: string) => {
  const found = of.aliases.get(name)
  if (!found) throw missing(`Cannot find alias arn: ${of.arn}:${name}`)
  return found
}

const operations = (readObject: ReadObject): Record<string, Operation> => {
  const zipOf = async ({ ZipFile, S3Bucket, S3Key }: Code): Promise<Buffer> => {
    if (ZipFile) return Buffer.from(ZipFile, 'base64')
    if (S3Bucket && S3Key) return readObject(S3Bucket, S3Key)
    throw new AwsError('InvalidParameterValueException', 'Please provide a source for function code.')
  }
  const create = async ({ functions, body }: Asked): Promise<Answer> => {
    const { Code, Publish, Tags = {}, FunctionName, ...settings } = read(createInput, body)
    const { name } = functionName(FunctionName)
    if (settings.PackageType === 'Image' || !settings.Runtime || !settings.Handler)
      throw new AwsError(
        'InvalidParameterValueException',
        'Runtime and Handler are mandatory parameters for functions created with deployment packages.',
      )
    checkRuntime(settings.Runtime)
    if (functions.all.has(name)) throw conflict(`Function already exist: ${name}`)
    const of: LambdaFunction = {
      name,
      arn: functions.arn(name),
      versions: new Map(),
      aliases: new Map(),
      policy: [],
      tags: Tags,
    }
    const configuration = await functions.put(of, defined(settings), await zipOf(Code))
    functions.all.set(name, of)
    return json(Publish ? functions.publish(of) : configuration, 201)
  }
  const asked = ({ functions, name, qualifier }: Asked) => {
    const of = functions.get(name)
    const wanted = qualifier ?? functionName(name).qualifier
    return { of, wanted, version: functions.version(of, wanted) }
  }
  const updateAlias = ({ functions, body, name, last }: Asked, made?: string): Answer => {
    const of = functions.get(name)
    const { Name, FunctionVersion, Description } = read(aliasInput, body)
    const before = made === undefined ? alias(of, last) : undefined
    const called = made ?? Name ?? last
    const number = FunctionVersion ?? before?.FunctionVersion ?? ''
    functions.version(of, number)
    const put = {
      Name: called,
      AliasArn: `${of.arn}:${called}`,
      FunctionVersion: number,
      Description: Description ?? before?.Description ?? '',
    }
    of.aliases.set(called, put)
    return json(put, made === undefined ? 200 : 201)
  }

  return {
    'POST functions': create,
    'GET functions': ({ functions }) =>
      json({ Functions: [...functions.all.values()].map((of) => functions.version(of).configuration) }),
    'GET functions/*': (given) => {
      const { of, version } = asked(given)
      const Code = { RepositoryType: 'S3', Location: '' }
      return json({ Configuration: version.configuration, Code, Tags: of.tags })
    },
    'DELETE functions/*': ({ functions, name }) => {
      functions.delete(functions.get(name))
      return json(undefined, 204)
    },
    'GET functions/*/configuration': (given) => json(asked(given).version.configuration),
    'PUT functions/*/configuration': async ({ functions, body, name }) => {
      const settings = read(settingsInput, body)
      if (settings.Runtime) checkRuntime(settings.Runtime)
      return json(await functions.put(functions.get(name), defined(settings)))
    },
    'PUT functions/*/code': async ({ functions, body, name }) => {
      const of = functions.get(name)
      const input = read(codeInput, body)
      const zip = await zipOf(input)
      if (input.DryRun) return json(functions.version(of).configuration)
      const configuration = await functions.put(of, {}, zip)
      return json(input.Publish ? functions.publish(of) : configuration)
    },
    'POST functions/*/invocations': (given) => {
      const { of, wanted, version } = asked(given)
      return invoke(given.functions, of, version, given.call, wanted ? `${of.arn}:${wanted}` : of.arn)
    },

    'POST functions/*/versions': ({ functions, body, name }) =>
      json(functions.publish(functions.get(name), read(versionInput, body).Description), 201),
    'GET functions/*/versions': ({ functions, name }) =>
      json({ Versions: [...functions.get(name).versions.values()].map(({ configuration }) => configuration) }),
    'POST functions/*/aliases': (given) => {
      const of = given.functions.get(given.name)
      const { Name = '' } = read(aliasInput, given.body)
      if (of.aliases.has(Name)) throw conflict(`Alias already exists: ${of.arn}:${Name}`)
      return updateAlias(given, Name)
    },
    'GET functions/*/aliases': ({ functions, name }) => json({ Aliases: [...functions.get(name).aliases.values()] }),
    'GET functions/*/aliases/*': ({ functions, name, last }) => json(alias(functions.get(name), last)),
    'PUT functions/*/aliases/*': (given) => updateAlias(given),
    'DELETE functions/*/aliases/*': ({ functions, name, last }) => {
      functions.get(name).aliases.delete(last)
      return json(undefined, 204)
    },

    'POST functions/*/policy': ({ functions, body, name }) => {
      const of = functions.get(name)
      const { StatementId, Action, Principal, SourceArn } = read(permissionInput, body)
      if (of.policy.some(({ Sid }) => Sid === StatementId))
        throw conflict(`The statement id (${StatementId}) provided already exists.`)
      const who = Principal.includes('.amazonaws.com') ? { Service: Principal } : Principal
      const when = SourceArn ? { Condition: { ArnLike: { 'AWS:SourceArn': SourceArn } } } : {}
      const statement = { Sid: StatementId, Effect: 'Allow', Principal: who, Action, Resource: of.arn, ...when }
      of.policy.push(statement)
      return json({ Statement: JSON.stringify(statement) }, 201)
    },
    'GET functions/*/policy': ({ functions, name }) => {
      const { policy } = functions.get(name)
      if (policy.length === 0) throw missing('The resource you requested does not exist.')
      return json({ Policy: JSON.stringify({ Version: '2012-10-17', Id: 'default', Statement: policy }) })
    },
    'DELETE functions/*/policy/*': ({ functions, name, last }) => {
      const of = functions.get(name)
      of.policy = of.policy.filter(({ Sid }) => Sid !== last)
      return json(undefined, 204)
    },
    'GET tags/*': ({ functions, name }) => json({ Tags: functions.get(name).tags }),
    'POST tags/*': ({ functions, body, name }) => {
      Object.assign(functions.get(name).tags, read(tagsInput, body).Tags)
      return json(undefined, 204)
    },
  }
}

/** Without the fields that were not given: they must not hide what is set. */
const defined = <T extends object>(given: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as ReturnType<typeof defined<T>>

export const LAMBDA_PATH = /^\/20\d\d-\d\d-\d\d\/(functions|tags)(?=\/|$)/

export const openLambda = (around: Surroundings, readObject: ReadObject): Lambda => {
  const opened = new Set<Functions>()
  const inRegion = perRegion((region) => {
    const functions = new Functions(region, around)
    opened.add(functions)
    return functions
  })
  const table = operations(readObject)
  const run = async (call: Call): Promise<Answer> => {
    const [kind = '', name = '', sub, last = ''] = call.url.pathname
      .split('/')
      .slice(2)
      .filter(Boolean)
      .map(decodeURIComponent)
    const route = [kind, ...(name ? ['*'] : []), ...(sub ? [sub] : []), ...(last ? ['*'] : [])].join('/')
    const operation = table[`${call.method} ${route}`]
    if (!operation)
      throw new AwsError('UnknownOperationException', `${call.method} ${call.url.pathname} is not implemented`, 404)
    const qualifier = call.url.searchParams.get('Qualifier') ?? undefined
    const region = name.startsWith('arn:') ? parseArn(name).region : call.region
    return operation({ functions: inRegion(region), call, body: await call.body(), name, last, qualifier })
  }
  return {
    service: async (call) => {
      try {
        return await run(call)
      } catch (error) {
        return jsonError(asAwsError(error))
      }
    },
    invoke: async (functionArn, payload) => {
      const functions = inRegion(parseArn(functionArn).region)
      const of = functions.get(functionArn)
      await functions.invoke(functions.version(of, functionName(functionArn).qualifier), functionArn, payload)
    },
    close: async () => {
      await Promise.all([...opened].map((functions) => functions.stop()))
    },
  }
}
