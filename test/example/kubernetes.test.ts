import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { parse as parseToml } from 'smol-toml'
import { describe, expect, it, onTestFinished } from 'vitest'
import { parseAllDocuments, parse as parseYaml } from 'yaml'
import { main } from '../../src/app/cli.ts'
import { routes } from '../../src/http/routes/index.ts'
import { createStats } from '../../src/http/stats.ts'
import { root } from '../docs/markdown.ts'
import { testEnv } from '../fakes/env.ts'

/** The manifests: all that refers to something finds it, in them, in the API, among the metrics or in the image. */

const folder = join(root, 'examples', 'kubernetes')

type Labels = { readonly [name: string]: string }
interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string }
}
interface Container {
  readonly image: string
  readonly args: readonly string[]
  readonly env: readonly {
    readonly name: string
    readonly valueFrom: { readonly secretKeyRef: { readonly name: string; readonly key: string } }
  }[]
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[]
  readonly startupProbe?: Probe
  readonly livenessProbe?: Probe
  readonly readinessProbe?: Probe
  readonly lifecycle?: { readonly preStop: { readonly exec: { readonly command: readonly string[] } } }
  readonly securityContext: object
  readonly resources: { readonly requests: object; readonly limits: object }
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string; readonly readOnly?: boolean }[]
}
interface Pod {
  readonly terminationGracePeriodSeconds?: number
  readonly securityContext: { readonly fsGroup?: number }
  readonly containers: readonly [Container]
  readonly volumes: readonly {
    readonly name: string
    readonly configMap?: { readonly name: string }
    readonly persistentVolumeClaim?: { readonly claimName: string }
  }[]
}
interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly labels: Labels }
  readonly data?: { readonly [key: string]: string }
  readonly stringData?: { readonly [key: string]: string }
  readonly spec: {
    readonly replicas?: number
    readonly serviceName?: string
    readonly selector?: Labels | { readonly matchLabels: Labels }
    readonly podSelector?: { readonly matchLabels: Labels }
    readonly ports?: readonly { readonly targetPort: string }[]
    readonly ingress?: readonly { readonly ports: readonly { readonly port: string }[] }[]
    readonly template: {
      readonly metadata: { readonly labels: Labels; readonly annotations?: Labels }
      readonly spec: Pod
    }
    readonly volumeClaimTemplates?: readonly { readonly metadata: { readonly name: string } }[]
    readonly scaleTargetRef?: { readonly apiVersion: string; readonly kind: string; readonly name: string }
    readonly minReplicas?: number
    readonly maxUnavailable?: number
    readonly metrics?: readonly {
      readonly type: string
      readonly external?: { readonly metric: { readonly name: string }; readonly target: { readonly type: string } }
    }[]
  }
}

/** Which API each kind is in. */
const versions: { readonly [kind: string]: string } = {
  ConfigMap: 'v1',
  Secret: 'v1',
  Service: 'v1',
  Deployment: 'apps/v1',
  StatefulSet: 'apps/v1',
  Job: 'batch/v1',
  PodDisruptionBudget: 'policy/v1',
  HorizontalPodAutoscaler: 'autoscaling/v2',
  NetworkPolicy: 'networking.k8s.io/v1',
}

function manifests(file: string): readonly Manifest[] {
  return parseAllDocuments(readFileSync(join(folder, file), 'utf8')).map((d) => {
    expect([file, d.errors, d.warnings]).toEqual([file, [], []])
    return d.toJS() as Manifest // looked at by the tests
  })
}
const inFolder = (name: string): readonly Manifest[] =>
  readdirSync(join(folder, name)).flatMap((f) => manifests(join(name, f)))
const of = (all: readonly Manifest[], kind: string): readonly Manifest[] => all.filter((m) => m.kind === kind)
const single = (all: readonly Manifest[], kind: string): Manifest => {
  const found = of(all, kind)
  expect(found, kind).toHaveLength(1)
  return found[0]!
}

const secret = single(manifests('secret.example.yaml'), 'Secret')
const policy = single(manifests('network-policy.yaml'), 'NetworkPolicy')
const job = single(manifests('restore.job.yaml'), 'Job')
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
const paths = routes.filter((r) => r.method === 'GET').map((r) => r.path)
const metrics = (
  await createStats(testEnv(), { process: false }).metrics({
    depths: [],
    breakers: [],
    loads: { rules: true, config: true, ruleCount: 1 },
  })
)
  .split('\n')
  .flatMap((l) => /^# TYPE (\w+)/.exec(l)?.[1] ?? [])
/** Of the example's alone: the mounts of what is started, as the configuration names the places. */
const mounts = (c: Container): { readonly [name: string]: string } =>
  Object.fromEntries(c.volumeMounts.map((m) => [m.name, m.mountPath]))

interface Toml {
  readonly server: { readonly port: number; readonly shutdown_timeout_seconds: number }
  readonly state: { readonly path?: string; readonly backend?: string }
  readonly rules: { readonly directory: string }
}
const configOf = (all: readonly Manifest[]): string =>
  of(all, 'ConfigMap').find((m) => m.metadata.name === 'signalbox-config')!.data!['gateway.toml']!

/** What every pod must be, whatever it runs. */
function expectSafe({ spec }: Manifest['spec']['template'], config: string, all: readonly Manifest[]): void {
  const [c] = spec.containers
  expect(c.image).toBe(`signalbox:${version}`)
  expect(spec.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 1000, runAsGroup: 1000 })
  expect(c.securityContext).toEqual({
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  })
  expect(Object.keys(c.resources.requests)).toEqual(['cpu', 'memory'])
  expect(Object.keys(c.resources.limits)).toEqual(['memory'])
  const names = of(all, 'ConfigMap').map((m) => m.metadata.name)
  expect(spec.volumes.flatMap((v) => v.configMap?.name ?? []).toSorted()).toEqual(names.toSorted())
  for (const { valueFrom } of c.env) {
    expect(valueFrom.secretKeyRef.name).toBe(secret.metadata.name)
    expect(Object.keys(secret.stringData!)).toContain(valueFrom.secretKeyRef.key)
  }
  const asked = [...config.matchAll(/\$\{(\w+)\}/g)].map((m) => m[1]!)
  expect(c.env.map((e) => e.name).toSorted()).toEqual(asked.toSorted())
  // What is started reads what is mounted.
  expect(c.args.slice(-2)).toEqual(['-c', `${mounts(c)['config']}/gateway.toml`])
  expect((parseToml(config) as unknown as Toml).rules.directory).toBe(mounts(c)['rules'])
  expect(c.volumeMounts.filter((m) => m.readOnly !== true).map((m) => m.name)).toEqual(
    spec.securityContext.fsGroup === undefined ? ['tmp'] : ['data', 'tmp'],
  )
}

describe.each([
  ['sqlite', 'StatefulSet'],
  ['shared', 'Deployment'],
])('examples/kubernetes/%s', (name, kind) => {
  const all = inFolder(name)
  const workload = single(all, kind)
  const { template } = workload.spec
  const [container] = template.spec.containers
  const config = configOf(all)
  const toml = parseToml(config) as unknown as Toml // accepted by `check`, below
  const service = single(all, 'Service')

  it('is of kinds and versions that there are, each name once', () => {
    for (const m of [...all, secret, policy, job]) expect([m.kind, m.apiVersion]).toEqual([m.kind, versions[m.kind]])
    const names = all.map((m) => `${m.kind} ${m.metadata.name}`)
    expect(new Set(names).size).toBe(names.length)
  })

  it('selects its own pods, by all that select', () => {
    const selectors = [...all, policy].flatMap(({ spec }) => {
      const by = spec?.selector ?? spec?.podSelector
      return by === undefined ? [] : [('matchLabels' in by ? by.matchLabels : by) as Labels]
    })
    expect(selectors).toHaveLength(name === 'shared' ? 4 : 3)
    for (const labels of selectors) expect(template.metadata.labels).toMatchObject(labels)
    // And not the pod that restores, to which no request may go.
    expect(job.spec.template.metadata.labels).not.toMatchObject(selectors[0]!)
  })

  it('names its ports, and scrapes where there are metrics', () => {
    const [port] = container.ports!
    expect([port?.name, port?.containerPort]).toEqual(['http', toml.server.port])
    expect(service.spec.ports!.map((p) => p.targetPort)).toEqual([port!.name])
    expect(policy.spec.ingress!.flatMap((i) => i.ports.map((p) => p.port))).toEqual([port!.name])
    const { annotations } = template.metadata
    expect(annotations?.['prometheus.io/port']).toBe(String(port!.containerPort))
    expect(paths).toContain(annotations?.['prometheus.io/path'])
  })

  it('probes what is answered, and starts nothing anew because the store is away', () => {
    const { startupProbe, livenessProbe, readinessProbe } = container
    const probes = [startupProbe, livenessProbe, readinessProbe].map((p) => p?.httpGet)
    expect(probes).toEqual(['/livez', '/livez', '/readyz'].map((path) => ({ path, port: 'http' })))
    for (const p of probes) expect(paths).toContain(p?.path)
  })

  it('leaves time for an orderly end', () => {
    const pause = Number(container.lifecycle!.preStop.exec.command[1])
    const grace = template.spec.terminationGracePeriodSeconds!
    expect(grace).toBeGreaterThan(pause + toml.server.shutdown_timeout_seconds)
  })

  it('runs as nobody’s root on what it is given', () => expectSafe(template, config, all))

  it('has a configuration and rules that are accepted, as they are mounted', async () => {
    const at = mkdtempSync(join(tmpdir(), 'mounted-'))
    onTestFinished(() => rmSync(at, { recursive: true }))
    for (const { metadata, data } of of(all, 'ConfigMap')) mount(join(at, metadata.name), data!)
    const env = Object.fromEntries(
      container.env.map((e) => [e.name, secret.stringData![e.valueFrom.secretKeyRef.key]!]),
    )
    const told: string[] = []
    const to = { out: (l: string) => told.push(l), err: (l: string) => told.push(l), cwd: at, env }
    const rules = `rules.directory=${join(at, 'signalbox-rules')}`
    const code = await main(['check', '-c', 'signalbox-config/gateway.toml', '--set', rules], to)
    expect([code, told.at(-1)]).toEqual([0, 'ok: 2 providers, 2 rules, 0 chains'])
    expect(told.filter((l) => l.includes('error'))).toEqual([])
  })

  if (name === 'sqlite') {
    it('has one pod, whose volume is where the store is', () => {
      expect(workload.spec.replicas).toBe(1)
      expect(workload.spec.serviceName).toBe(service.metadata.name)
      const [claim] = workload.spec.volumeClaimTemplates!
      expect(dirname(toml.state.path!)).toBe(mounts(container)[claim!.metadata.name])
      expect(of(all, 'PodDisruptionBudget')).toEqual([])
    })

    it('is restored on the same volume, configuration and image', () => {
      expectSafe(job.spec.template, config, all)
      const { containers, volumes } = job.spec.template.spec
      const [claim] = workload.spec.volumeClaimTemplates!
      const volume = volumes.find((v) => v.name === claim!.metadata.name)
      expect(volume?.persistentVolumeClaim?.claimName).toBe(`${claim!.metadata.name}-${workload.metadata.name}-0`)
      expect([containers[0].args[0], dirname(containers[0].args[1]!)]).toEqual(['restore', dirname(toml.state.path!)])
      expect(mounts(containers[0])).toEqual(mounts(container))
    })
  } else {
    it('has several pods on one store, one of which may be away', () => {
      expect(toml.state.backend).toBe('postgres')
      expect(single(all, 'PodDisruptionBudget').spec.maxUnavailable).toBe(1)
      const { scaleTargetRef, minReplicas } = single(all, 'HorizontalPodAutoscaler').spec
      expect(scaleTargetRef).toEqual({ apiVersion: workload.apiVersion, kind, name: workload.metadata.name })
      expect(minReplicas).toBeGreaterThan(1)
      // Else each `kubectl apply` would undo what the autoscaler did.
      expect(workload.spec.replicas).toBeUndefined()
    })

    it('scales by a metric that there is, as the adapter makes it', () => {
      const text = readFileSync(join(folder, 'prometheus-adapter-values.yaml'), 'utf8')
      const { rules } = parseYaml(text) as {
        readonly rules: {
          readonly external: readonly { seriesQuery: string; name: { as: string }; metricsQuery: string }[]
        }
      }
      const external = single(all, 'HorizontalPodAutoscaler').spec.metrics!.flatMap((m) => m.external ?? [])
      expect(external.map((e) => e.metric.name)).toEqual(rules.external.map((r) => r.name.as))
      // A number of the whole store: as a value for each pod it would grow with their count.
      expect(external.map((e) => e.target.type)).toEqual(['AverageValue'])
      for (const { seriesQuery, metricsQuery } of rules.external) {
        expect(metrics).toContain(/^\w+/.exec(seriesQuery)?.[0])
        expect(metricsQuery).toMatch(
          /^sum\(max by \(kind\) \(<<\.Series>>\{<<\.LabelMatchers>>,kind!="dead_letter"\}\)\)$/,
        )
      }
    })
  }
})

it('applies nothing but manifests with a folder', () => {
  const files = readdirSync(folder, { withFileTypes: true })
  expect(files.filter((f) => f.isDirectory()).map((f) => f.name)).toEqual(['shared', 'sqlite'])
  for (const f of files.filter((e) => e.isFile())) expect(basename(f.name)).toMatch(/\.(md|yaml)$/)
})

/** As the kubelet mounts a ConfigMap: files are links into a folder that is a link. */
function mount(at: string, data: { readonly [key: string]: string }): void {
  const real = '..2026_01_01_00_00_00.1'
  mkdirSync(join(at, real), { recursive: true })
  symlinkSync(real, join(at, '..data'))
  for (const [name, text] of Object.entries(data)) {
    writeFileSync(join(at, real, name), text)
    symlinkSync(join('..data', name), join(at, name))
  }
}
