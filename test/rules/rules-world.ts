import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach } from 'vitest'
import type { Control } from '../../src/core/state.ts'
import { type OpenRules, openRules, type Rules } from '../../src/rules/rules.ts'
import { type TestEnv, testEnv } from '../fakes/env.ts'
import { context, hotRules } from './build.ts'
import { memoryControl } from './control.ts'

/** Rules read from a directory of their own, anew for each test of the file; what is opened is stopped after it. */
export interface RulesWorld {
  /** Where the rules are, `dir`, lies in here. */
  readonly root: string
  readonly dir: string
  readonly env: TestEnv
  readonly control: Control
  readonly scopeControl: Control
  /** Opens them, as a node of its own. */
  open(more?: Partial<OpenRules>): Promise<Rules>
}

export function rulesWorld(): RulesWorld {
  const opened: Rules[] = []
  const made = () => {
    const root = mkdtempSync(join(tmpdir(), 'signalbox-rules-'))
    const dir = join(root, 'rules')
    mkdirSync(dir)
    return { root, dir, env: testEnv(), control: memoryControl(), scopeControl: memoryControl() }
  }
  let now: ReturnType<typeof made>
  beforeEach(() => {
    now = made()
  })
  afterEach(() => {
    for (const r of opened.splice(0)) r.stop()
    rmSync(now.root, { recursive: true, force: true })
  })
  return {
    get root() {
      return now.root
    },
    get dir() {
      return now.dir
    },
    get env() {
      return now.env
    },
    get control() {
      return now.control
    },
    get scopeControl() {
      return now.scopeControl
    },
    async open(more = {}) {
      const { timezone, envNames, redact } = context
      const { dir: directory, env, control, scopeControl } = now
      const rules = await openRules({
        directory,
        names: () => context.names,
        env,
        control,
        scopeControl,
        hotRules: () => hotRules,
        dispatchedBy: () => ({ types: new Set(), lockBy: undefined }),
        processEnv: { STAGE: 'test' },
        defaults: { timezone, envNames, redact },
        ...more,
      })
      opened.push(rules)
      return rules
    },
  }
}
