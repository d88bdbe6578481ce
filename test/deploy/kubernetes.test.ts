// The manifests are valid by Kubernetes' own schemas, and all options in them exist.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { absent, FOLDER as JUDGES, judge, ROOT } from './judges.ts'
import { imageOf, understood } from './options.ts'

const FOLDER = 'deploy/kubernetes'
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8')
const image = imageOf(read('Dockerfile'))

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string | number }
}

interface Sidecar {
  readonly name: string
  readonly image: string
  readonly restartPolicy?: string
  readonly args?: readonly string[]
  readonly env?: readonly { readonly name: string; readonly value: string }[]
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[]
  readonly startupProbe?: Probe
  readonly readinessProbe?: Probe
  readonly livenessProbe?: Probe
  readonly resources: { readonly requests: { readonly memory: string }; readonly limits: { readonly memory: string } }
  readonly securityContext: Record<string, unknown>
}

interface Template {
  readonly metadata: { readonly labels: Record<string, string>; readonly annotations?: Record<string, string> }
  readonly spec: {
    readonly shareProcessNamespace?: boolean
    readonly securityContext: { readonly runAsUser?: number; readonly runAsGroup?: number }
    readonly initContainers: readonly Sidecar[]
    readonly containers: readonly { readonly env?: readonly { readonly name: string; readonly value: string }[] }[]
  }
}

/** The schemas have been applied where it matters; these are the fields looked at here. */
const template = (yaml: string): Template => (parse(yaml) as { spec: { template: Template } }).spec.template

const MIB = 2 ** 20
const mebibytes = (text: string): number => Number(/^(\d+)Mi$/.exec(text)?.[1]) * MIB

/** The rules for the sidecar in every manifest. */
async function holds(t: Test, { metadata, spec }: Template): Promise<void> {
  const [sidecar, ...others] = spec.initContainers
  if (!sidecar || others.length > 0) throw new Error('one init container is expected')
  t.equal(sidecar.restartPolicy, 'Always', 'which makes it a sidecar')
  t.equal(spec.shareProcessNamespace, true)
  t.match(spec.securityContext, { runAsUser: Number, runAsGroup: Number })
  t.match(sidecar.securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
    runAsUser: undefined,
    runAsGroup: undefined,
  })

  const given = Object.fromEntries(sidecar.env?.map(({ name, value }) => [name, value]) ?? [])
  const options = await understood(sidecar.args ?? [], { ...image.env, ...given })
  t.equal(options.web.listen?.port, 19464)
  t.ok(['0.0.0.0', '::'].includes(options.web.listen?.host ?? ''), 'the kubelet and Prometheus come from outside')
  t.same(sidecar.ports, [{ name: 'metrics', containerPort: options.web.listen?.port }])
  t.ok(image.ports.includes(sidecar.ports[0]!.containerPort))

  for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe'] as const) {
    const wanted = { path: probe === 'livenessProbe' ? '/-/healthy' : '/-/ready', port: 'metrics' }
    if (sidecar[probe]) t.same(sidecar[probe].httpGet, wanted)
  }
  t.ok(sidecar.startupProbe, 'the application starts when its listeners are open')
  t.ok(mebibytes(sidecar.resources.requests.memory) >= 80 * MIB, 'the budget for idle')
  t.ok(mebibytes(sidecar.resources.limits.memory) >= 120 * MIB, 'the budget under load')

  if (metadata.annotations?.['prometheus.io/scrape'])
    t.match(metadata.annotations, {
      'prometheus.io/port': String(sidecar.ports[0]!.containerPort),
      'prometheus.io/path': '/metrics',
    })
  const { selector, podMetricsEndpoints } = parse(read(`${FOLDER}/podmonitor.yaml`)).spec
  t.match(metadata.labels, selector.matchLabels, 'the PodMonitor selects it')
  t.match(podMetricsEndpoints, [{ port: sidecar.ports[0]!.name, path: '/metrics' }])

  for (const { env = [] } of spec.containers)
    for (const { name, value } of env)
      if (name === 'OTEL_EXPORTER_OTLP_ENDPOINT') t.equal(value, `http://127.0.0.1:${options.otlp.http.listen?.port}`)
}

for (const file of ['deployment.yaml', 'job.yaml'])
  t.test(`${file}: a native sidecar that the sidecar's own schema understands`, async t => {
    await holds(t, template(read(`${FOLDER}/${file}`)))
  })

t.test(
  'from 1.29, the first release with native sidecars, to the newest, the schemas accept them',
  { skip: absent },
  async t => {
    const files = ['deployment.yaml', 'job.yaml', 'example/shop.yaml'].map(file => `${FOLDER}/${file}`)
    const rendered = await judge('kustomize', ['build', `${FOLDER}/example`])
    t.equal(rendered.code, 0, rendered.stderr)
    files.push(`${t.testdir({ 'rendered.yaml': rendered.stdout })}/rendered.yaml`)
    for (const release of ['1.29', '1.33', '1.37']) {
      const { code, stdout, stderr } = await judge('kubernetes-validate', ['--strict', '-k', release, ...files])
      t.equal(code, 0, stdout + stderr)
      t.equal(stdout.match(/ passed for resource /g)?.length, files.length, release)
    }
  },
)

// Strictly, as `kubectl apply --validate=strict` does: a field that the schema does not have is a mistake.
const OPERATOR = `
import json, sys, yaml
from jsonschema import Draft202012Validator

def strict(schema):
    if 'properties' in schema and not schema.get('x-kubernetes-preserve-unknown-fields'):
        schema['additionalProperties'] = False
    for each in [schema.get('items'), *schema.get('properties', {}).values()]:
        if isinstance(each, dict):
            strict(each)
    return schema

[version] = yaml.safe_load(open(sys.argv[1]))['spec']['versions']
schema = strict(version['schema']['openAPIV3Schema'])
schema['properties']['metadata'] = {'type': 'object'}
for error in Draft202012Validator(schema).iter_errors(yaml.safe_load(open(sys.argv[2]))):
    print(error.json_path, error.message)
`

t.test('the Prometheus operator accepts the PodMonitor, and would not accept a mistake', { skip: absent }, async t => {
  const f = async (manifest: string) => {
    const folder = t.testdir({ 'manifest.yaml': manifest })
    const { code, stdout, stderr } = await judge('python', [
      ...['-c', OPERATOR, join(JUDGES, 'podmonitors.yaml')],
      `${folder}/manifest.yaml`,
    ])
    t.equal(code, 0, stderr)
    return stdout
  }
  const ours = read(`${FOLDER}/podmonitor.yaml`)
  t.equal(await f(ours), '')
  t.match(await f(ours.replace('port: metrics', 'ports: metrics')), /'ports' was unexpected/)
  t.match(await f(ours.replace('15s', 'often')), /'often' does not match/)
  t.match(await f(ours.replace('OpenMetricsText1.0.0', 'OpenMetrics')), /'OpenMetrics' is not one of/)
})

t.test('the judge of schemas would find a mistake', { skip: absent }, async t => {
  const wrong = read(`${FOLDER}/deployment.yaml`).replace('httpGet:', 'httpget:')
  const folder = t.testdir({ 'wrong.yaml': wrong })
  const { code, stdout, stderr } = await judge('kubernetes-validate', ['--strict', `${folder}/wrong.yaml`])
  t.equal(code, 1)
  t.match(stdout + stderr, /httpget/)
})

t.test(
  'the component adds the same sidecar to each kind of workload, and keeps what is theirs',
  { skip: absent },
  async t => {
    for (const kind of ['Deployment', 'StatefulSet', 'DaemonSet']) {
      const workload = read(`${FOLDER}/example/shop.yaml`).replace('kind: Deployment', `kind: ${kind}`)
      // A component is named by a path relative to the kustomization.
      const folder = t.testdir({ 'shop.yaml': workload })
      const { relative } = await import('node:path')
      const component = relative(folder, join(ROOT, FOLDER, 'component'))
      const { writeFileSync } = await import('node:fs')
      writeFileSync(`${folder}/kustomization.yaml`, `resources: [shop.yaml]\ncomponents: ["${component}"]\n`)
      const { code, stdout, stderr } = await judge('kustomize', ['build', folder])
      t.equal(code, 0, stderr)
      await holds(t, template(stdout))
      t.equal(parse(stdout).kind, kind)
      t.match(template(stdout).metadata.labels, { 'app.kubernetes.io/name': 'shop' })

      const own = template(read(`${FOLDER}/deployment.yaml`)).spec.initContainers[0]!
      const added = template(stdout).spec.initContainers[0]!
      t.same({ ...added, image: own.image, env: own.env }, own, 'which is that of deployment.yaml')
    }
  },
)

t.test('a workload says by one variable where its application answers', { skip: absent }, async t => {
  const { stdout } = await judge('kustomize', ['build', `${FOLDER}/example`])
  t.same(template(stdout).spec.initContainers[0]?.env, [{ name: 'PILLION_APP_URL', value: 'http://127.0.0.1:3000' }])
  t.equal(template(stdout).spec.initContainers[0]?.image, 'pillion:0.1.0')
})
