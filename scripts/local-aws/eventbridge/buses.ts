/** Buses, their rules and the rules' targets; one set in each region. */
import { ACCOUNT, AwsError, type Json, perRegion } from '../wire.ts'
import type { TargetInput } from './input.ts'

export interface Target extends TargetInput {
  Id: string
  Arn: string
  SqsParameters?: { MessageGroupId?: string | undefined } | undefined
  DeadLetterConfig?: { Arn?: string | undefined } | undefined
}
export interface Rule {
  Name: string
  Arn: string
  EventBusName: string
  State: string
  EventPattern?: string | undefined
  ScheduleExpression?: string | undefined
  Description?: string | undefined
  RoleArn?: string | undefined
  pattern?: Json
  targets: Map<string, Target>
}
export interface Bus {
  Name: string
  Arn: string
  Description?: string | undefined
  rules: Map<string, Rule>
}

/** A bus is named by its name or its ARN. */
export const busName = (name = 'default'): string =>
  name.startsWith('arn:') ? name.replace(/^.*:event-bus\//, '') : name

const notFound = (message: string): AwsError => new AwsError('ResourceNotFoundException', message)

export class Buses {
  readonly region: string
  readonly all = new Map<string, Bus>()
  /** By ARN of a bus or rule. */
  readonly tags = new Map<string, Map<string, string>>()

  constructor(region: string) {
    this.region = region
    this.create('default')
  }

  arn(resource: string): string {
    return `arn:aws:events:${this.region}:${ACCOUNT}:${resource}`
  }

  create(Name: string, Description?: string): Bus {
    if (!/^[\w./-]{1,256}$/.test(Name)) throw new AwsError('ValidationException', `Invalid event bus name: ${Name}`)
    if (this.all.has(Name)) throw new AwsError('ResourceAlreadyExistsException', `Event bus ${Name} already exists.`)
    const bus: Bus = { Name, Arn: this.arn(`event-bus/${Name}`), Description, rules: new Map() }
    this.all.set(Name, bus)
    return bus
  }

  delete(name: string): void {
    const bus = this.all.get(busName(name))
    if (bus?.Name === 'default') throw new AwsError('ValidationException', 'Cannot delete event bus default.')
    if (bus && bus.rules.size > 0)
      throw new AwsError('ValidationException', `Event bus ${bus.Name} can't be deleted since it has rules.`)
    if (bus) this.all.delete(bus.Name)
  }

  bus(name?: string): Bus {
    const found = this.all.get(busName(name))
    if (!found) throw notFound(`Event bus ${busName(name)} does not exist.`)
    return found
  }

  rule(name: string, bus?: string): Rule {
    const found = this.bus(bus).rules.get(name)
    if (!found) throw notFound(`Rule ${name} does not exist on EventBus ${busName(bus)}.`)
    return found
  }

  putRule(rule: Omit<Rule, 'Arn' | 'targets'>): Rule {
    const bus = this.bus(rule.EventBusName)
    const path = bus.Name === 'default' ? rule.Name : `${bus.Name}/${rule.Name}`
    const targets = bus.rules.get(rule.Name)?.targets ?? new Map<string, Target>()
    const put = { ...rule, Arn: this.arn(`rule/${path}`), targets }
    bus.rules.set(rule.Name, put)
    return put
  }

  deleteRule(name: string, bus?: string): void {
    const { rules } = this.bus(bus)
    if (rules.get(name)?.targets.size)
      throw new AwsError('ValidationException', "Rule can't be deleted since it has targets.")
    rules.delete(name)
  }
}

export const openBuses = (): ((region: string) => Buses) => perRegion((region) => new Buses(region))
