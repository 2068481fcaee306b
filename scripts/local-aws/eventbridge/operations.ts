/** EventBridge over its JSON protocol. */
import { z } from 'zod'
import {
  AwsError,
  asAwsError,
  type Call,
  header,
  type Json,
  json,
  jsonError,
  parseArn,
  parseBody,
  type Service,
} from '../wire.ts'
import { type Buses, openBuses, type Rule } from './buses.ts'
import { matchesPattern, parsePattern } from './pattern.ts'
import { putEvents, putEventsInput } from './put-events.ts'
import { SUPPORTED, type Targets } from './targets.ts'

const CONTENT_TYPE = 'application/x-amz-json-1.1'
const text = z.string()
const onBus = { EventBusName: text.optional() }
const named = z.looseObject({ Name: text })
const ruleNamed = z.looseObject({ Name: text, ...onBus })
const ofRule = z.looseObject({ Rule: text, ...onBus })
const targetShape = z.looseObject({
  Id: text,
  Arn: text,
  Input: text.optional(),
  InputPath: text.optional(),
  InputTransformer: z.looseObject({ InputPathsMap: z.record(text, text).optional(), InputTemplate: text }).optional(),
  SqsParameters: z.looseObject({ MessageGroupId: text.optional() }).optional(),
  DeadLetterConfig: z.looseObject({ Arn: text.optional() }).optional(),
})
const tagList = z.array(z.looseObject({ Key: text, Value: text }))

type Run = (buses: Buses, input: Json, targets: Targets) => unknown
/** An operation with its input checked. */
const operation =
  <T>(shape: z.ZodType<T>, run: (buses: Buses, input: T, targets: Targets) => unknown): Run =>
  (buses, input, targets) => {
    const parsed = shape.safeParse(input)
    if (parsed.success) return run(buses, parsed.data, targets)
    const problems = parsed.error.issues.map((issue) => `Value at '${issue.path.join('.')}': ${issue.message}`)
    throw new AwsError('ValidationException', `${problems.length} validation error detected: ${problems.join('; ')}`)
  }

const shown = ({ targets: _, pattern: __, ...rule }: Rule) => rule
const setState = (State: string) =>
  operation(ruleNamed, (buses, input) => {
    buses.rule(input.Name, input.EventBusName).State = State
    return {}
  })
const tag = (buses: Buses, arn: string, tags: z.infer<typeof tagList> = []): void => {
  const kept = buses.tags.get(arn) ?? new Map<string, string>()
  for (const { Key, Value } of tags) kept.set(Key, Value)
  buses.tags.set(arn, kept)
}
const prefixed = <T extends { Name: string }>(all: Iterable<T>, prefix = ''): T[] =>
  [...all].filter(({ Name }) => Name.startsWith(prefix))

const operations: Record<string, Run> = {
  CreateEventBus: operation(
    z.looseObject({ Name: text, Description: text.optional(), Tags: tagList.optional() }),
    (buses, input) => {
      const bus = buses.create(input.Name, input.Description)
      tag(buses, bus.Arn, input.Tags)
      return { EventBusArn: bus.Arn }
    },
  ),
  DeleteEventBus: operation(named, (buses, input) => {
    buses.delete(input.Name)
    return {}
  }),
  DescribeEventBus: operation(z.looseObject({ Name: text.optional() }), (buses, input) => {
    const { rules: _, ...bus } = buses.bus(input.Name)
    return bus
  }),
  ListEventBuses: operation(z.looseObject({ NamePrefix: text.optional() }), (buses, input) => ({
    EventBuses: prefixed(buses.all.values(), input.NamePrefix).map(({ rules: _, ...bus }) => bus),
  })),

  PutRule: operation(
    z.looseObject({
      Name: text.regex(/^[.\-\w]{1,64}$/),
      ...onBus,
      EventPattern: text.optional(),
      ScheduleExpression: text.optional(),
      State: text.optional(),
      Description: text.optional(),
      RoleArn: text.optional(),
      Tags: tagList.optional(),
    }),
    (buses, input) => {
      const { EventPattern, ScheduleExpression } = input
      if (!EventPattern && !ScheduleExpression)
        throw new AwsError('ValidationException', 'Parameter(s) EventPattern or ScheduleExpression must be specified.')
      const rule = buses.putRule({
        Name: input.Name,
        EventBusName: buses.bus(input.EventBusName).Name,
        State: input.State ?? 'ENABLED',
        EventPattern,
        ScheduleExpression,
        Description: input.Description,
        RoleArn: input.RoleArn,
        ...(EventPattern ? { pattern: parsePattern(EventPattern) } : {}),
      })
      tag(buses, rule.Arn, input.Tags)
      return { RuleArn: rule.Arn }
    },
  ),
  DescribeRule: operation(ruleNamed, (buses, input) => shown(buses.rule(input.Name, input.EventBusName))),
  ListRules: operation(z.looseObject({ NamePrefix: text.optional(), ...onBus }), (buses, input) => ({
    Rules: prefixed(buses.bus(input.EventBusName).rules.values(), input.NamePrefix).map(shown),
  })),
  ListRuleNamesByTarget: operation(z.looseObject({ TargetArn: text, ...onBus }), (buses, input) => ({
    RuleNames: [...buses.bus(input.EventBusName).rules.values()]
      .filter((rule) => [...rule.targets.values()].some(({ Arn }) => Arn === input.TargetArn))
      .map(({ Name }) => Name),
  })),
  DeleteRule: operation(ruleNamed, (buses, input) => {
    buses.deleteRule(input.Name, input.EventBusName)
    return {}
  }),
  EnableRule: setState('ENABLED'),
  DisableRule: setState('DISABLED'),

  PutTargets: operation(
    z.looseObject({ Rule: text, ...onBus, Targets: z.array(targetShape).min(1).max(100) }),
    (buses, input) => {
      const rule = buses.rule(input.Rule, input.EventBusName)
      const failed: { TargetId: string; ErrorCode: string; ErrorMessage: string }[] = []
      for (const target of input.Targets)
        if (SUPPORTED.has(parseArn(target.Arn).service)) rule.targets.set(target.Id, target)
        else
          failed.push({
            TargetId: target.Id,
            ErrorCode: 'ValidationException',
            ErrorMessage: `Parameter ${target.Arn} is not valid. Reason: Provided Arn is not in correct format.`,
          })
      return { FailedEntryCount: failed.length, FailedEntries: failed }
    },
  ),
  RemoveTargets: operation(z.looseObject({ Rule: text, ...onBus, Ids: z.array(text).min(1) }), (buses, input) => {
    const { targets } = buses.rule(input.Rule, input.EventBusName)
    const failed = input.Ids.filter((id) => !targets.delete(id)).map((TargetId) => ({
      TargetId,
      ErrorCode: 'ResourceNotFoundException',
      ErrorMessage: `Rule ${input.Rule} does not have a target with the Id ${TargetId}.`,
    }))
    return { FailedEntryCount: failed.length, FailedEntries: failed }
  }),
  ListTargetsByRule: operation(ofRule, (buses, input) => ({
    Targets: [...buses.rule(input.Rule, input.EventBusName).targets.values()],
  })),

  PutEvents: operation(putEventsInput, (buses, input, targets) => putEvents(buses, input.Entries, targets)),
  TestEventPattern: operation(z.looseObject({ EventPattern: text, Event: text }), (_buses, input) => ({
    Result: matchesPattern(parsePattern(input.EventPattern), JSON.parse(input.Event) as Json),
  })),

  TagResource: operation(z.looseObject({ ResourceARN: text, Tags: tagList }), (buses, input) => {
    tag(buses, input.ResourceARN, input.Tags)
    return {}
  }),
  UntagResource: operation(z.looseObject({ ResourceARN: text, TagKeys: z.array(text) }), (buses, input) => {
    for (const key of input.TagKeys) buses.tags.get(input.ResourceARN)?.delete(key)
    return {}
  }),
  ListTagsForResource: operation(z.looseObject({ ResourceARN: text }), (buses, input) => ({
    Tags: [...(buses.tags.get(input.ResourceARN) ?? [])].map(([Key, Value]) => ({ Key, Value })),
  })),
}

export const openEventBridge = (targets: Omit<Targets, 'putEvent'>): Service => {
  const buses = openBuses()
  const all: Targets = { ...targets, putEvent: async () => {} }
  return async (call: Call) => {
    const name = header(call, 'x-amz-target').split('.')[1] ?? ''
    try {
      const run = operations[name]
      if (!run) throw new AwsError('UnknownOperationException', `The operation ${name} is not implemented`)
      const input = parseBody(await call.body())
      return json(run(buses(call.region), input, all), 200, { 'content-type': CONTENT_TYPE })
    } catch (error) {
      return jsonError(asAwsError(error), CONTENT_TYPE)
    }
  }
}
