import type { AnyRuleAction } from '../stage.ts'
import { allow } from './allow.ts'
import { cancelScheduled } from './cancel-scheduled.ts'
import { chain } from './chain.ts'
import { copy } from './copy.ts'
import { deduplicate } from './deduplicate.ts'
import { deny } from './deny.ts'
import { group } from './group.ts'
import { modify } from './modify.ts'
import { reroute } from './reroute.ts'
import { schedule } from './schedule.ts'
import { suppress } from './suppress.ts'
import { throttle } from './throttle.ts'

/** Every kind of rule action. To add one: write its file, add it here. */
export const ruleActions: readonly AnyRuleAction[] = [
  allow,
  suppress,
  deny,
  reroute,
  chain,
  modify,
  deduplicate,
  throttle,
  group,
  schedule,
  cancelScheduled,
  copy,
]

/** Names that will be rule actions, and are refused by name until they are. */
export const reservedActions: readonly string[] = ['state_machine', 'request_approval']
