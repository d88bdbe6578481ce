// compose's own loader accepts the compose file, and the files, names and ports in it exist.

import { existsSync, readFileSync } from 'node:fs'
import { isIPv4 } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { missing } from '../e2e/programs.ts'
import { absent, ask, judge, ROOT } from './judges.ts'
import { imageOf, understood } from './options.ts'

const FOLDER = join(ROOT, 'deploy/compose')
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8')

interface Service {
  readonly image: string
  readonly build?: { readonly context: string }
  readonly user?: string
  readonly configs?: readonly { readonly source: string; readonly target: string }[]
  readonly pid?: string
  readonly network_mode?: string
  readonly read_only?: boolean
  readonly cap_drop?: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly depends_on: Readonly<Record<string, { readonly restart?: boolean }>>
  readonly ports?: readonly { readonly target: number; readonly host_ip?: string }[]
  readonly volumes?: readonly { readonly source: string; readonly target: string; readonly read_only?: boolean }[]
}

async function services(): Promise<Readonly<Record<string, Service>>> {
  const { code, stdout, stderr } = await judge('compose-spec', ['--format', 'json', 'compose.yaml'], FOLDER)
  if (code !== 0) throw new Error(stderr)
  return JSON.parse(stdout).services
}

t.test(
  'the sidecar is in the namespaces of the application, as its user, and may do nothing more',
  { skip: absent },
  async t => {
    const { pillion, shop } = await services()
    t.match(pillion, {
      pid: 'service:shop',
      network_mode: 'service:shop',
      user: shop!.user,
      read_only: true,
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
    })
    t.equal(pillion!.depends_on['shop']?.restart, true, 'new namespaces, new sidecar')
    t.equal(pillion!.ports, undefined, 'which the network of another service forbids')
  },
)

t.test('the sidecar understands its variables, and is asked where it listens', { skip: absent }, async t => {
  const { pillion, shop, prometheus, grafana } = await services()
  const image = imageOf(read('Dockerfile'))
  // The file is in the container only.
  const tokenFile = pillion!.environment['PILLION_WEB_TOKEN_FILE']
  const here = join(t.testdir({ token: 'a-token\n' }), 'token')
  const variables = { ...image.env, ...pillion!.environment, PILLION_WEB_TOKEN_FILE: here }
  const { web, otlp } = await understood([], variables)
  t.ok(shop!.ports?.some(({ target }) => target === web.listen?.port))
  t.equal(shop!.environment['OTEL_EXPORTER_OTLP_ENDPOINT'], `http://127.0.0.1:${otlp.http.listen?.port}`)
  const [target] = parse(read('deploy/compose/prometheus.yml')).scrape_configs[0].static_configs[0].targets as string[]
  t.equal(target, `shop:${web.listen?.port}`)
  t.ok(web.allowed_hosts.includes('shop'), 'the name that Prometheus calls it by')
  t.ok(prometheus)
  const token = pillion!.configs?.find(({ target }) => target === tokenFile)
  t.ok(token && prometheus!.configs?.some(({ target }) => target === tokenFile), 'both have the token')
  const { credentials_file } = parse(read('deploy/compose/prometheus.yml')).scrape_configs[0].authorization
  t.equal(credentials_file, tokenFile)
  t.equal(grafana!.environment['PILLION_URL'], `http://${target}`)
})

t.test('mounted files and build contexts are in the repository, and mounted read-only', { skip: absent }, async t => {
  for (const [name, { build, volumes = [], ports = [] }] of Object.entries(await services())) {
    if (build) t.ok(existsSync(build.context), `${name}: ${build.context}`)
    for (const { source, read_only } of volumes) {
      t.ok(existsSync(source), `${name}: ${source}`)
      t.equal(read_only, true)
    }
    for (const { host_ip } of ports)
      t.ok(isIPv4(host_ip ?? '') && host_ip?.startsWith('127.'), `${name}: only this host`)
  }
})

t.test('Grafana is given every variable that its provisioning reads', { skip: absent }, async t => {
  const { grafana } = await services()
  const provisioning = 'deploy/grafana/provisioning/datasources/pillion.yaml'
  const names = Array.from(read(provisioning).matchAll(/(?<!\$)\$([A-Z_]+)/g), ([, name = '']) => name)
  t.same([...new Set(names)].sort(), ['PILLION_TOKEN', 'PILLION_URL', 'PROMETHEUS_URL'])
  for (const name of names) t.ok(grafana!.environment[name], name)
  const [{ options }] = parse(read('deploy/grafana/provisioning/dashboards/pillion.yaml')).providers
  t.ok(grafana!.volumes?.some(({ target }) => target === options.path))
})

t.test('the judge of compose files would find a mistake', { skip: absent }, async t => {
  const folder = t.testdir({ 'compose.yaml': 'services: {a: {image: a, network_mode: "service:b", netwrok: 1}}' })
  t.equal((await judge('compose-spec', ['compose.yaml'], folder)).code, 1)
})

t.test('Prometheus accepts its configuration and our rules', { skip: missing('promtool', 'prometheus') }, async t => {
  const { code, stdout, stderr } = await ask('promtool', [
    'check',
    'config',
    '--syntax-only',
    `${FOLDER}/prometheus.yml`,
  ])
  t.equal(code, 0, stdout + stderr)
})
