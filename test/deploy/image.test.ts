// The container image runs as intended: beside an application, as a numeric user, with a read-only file system and without
// capabilities.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { until } from '../e2e/child.ts'
import { sum } from '../e2e/ride.ts'
import { fixed64, hex, ld, number } from '../otlp/requests.ts'
import { Image, unbuilt } from './image.ts'
import { Pod, status } from './pod.ts'

const skip = unbuilt()
const image = skip ? undefined : new Image()
t.teardown(() => image?.[Symbol.dispose]())

const APPLICATION = `require('http').createServer((request, response) => response.end('ok')).listen(8080, '127.0.0.1')`

t.test(
  'beside an application it is ready, healthy by its own check, and sees all there is to see',
  { skip },
  async t => {
    const app = image!.program(['node', '-e', APPLICATION], '1001:1001')
    await using pod = await Pod.compose(app)
    const sidecar = await pod.join(image!.container(['--app.url', 'http://127.0.0.1:8080'], '1001:1001'))
    const web = await pod.client(19464)
    await until('ready', async () => (await web.get('/-/ready')).status === 200 || undefined)
    const page = await until('health and process', async () => {
      const { body } = await web.get('/metrics')
      return sum(body, 'app_health_up') === 1 && sum(body, 'app_process_up') === 1 ? body : undefined
    })
    t.ok(sum(page, 'app_process_open_fds'), 'which only the same user may count')
    t.ok(sum(page, 'app_process_io_read_bytes_total') !== undefined, 'which only the same user may read')
    await sidecar.child.says(/application found.* pid=1 /)

    t.same(image!.config.Healthcheck.Test.slice(0, 1), ['CMD'], 'no shell')
    const check = await pod.run(image!.program(image!.config.Healthcheck.Test.slice(1)))
    t.equal(check.code, 0, check.output)
  },
)

t.test('it receives spans, and forgets nothing of them in its ledger', { skip }, async t => {
  await using pod = await Pod.kubernetes()
  await pod.join(image!.container([]))
  const [web, otlp] = [await pod.client(19464), await pod.client(4318)]
  await until('ready', async () => (await web.get('/-/ready')).status === 200 || undefined)
  const start = 1_700_000_000_000_000_000n
  const span = ld(
    2,
    ld(1, hex('ab'.repeat(16))),
    ld(2, hex('cd'.repeat(8))),
    ld(5, 'GET /orders'),
    number(6, 2),
    fixed64(7, start),
    fixed64(8, start + 250_000_000n),
  )
  const request = ld(1, ld(1, ld(1, ld(1, 'service.name'), ld(2, ld(1, 'shop')))), ld(2, span, span, span))
  t.equal((await otlp.post('/v1/traces', 'application/x-protobuf', request)).status, 200)
  const { body } = await web.get('/metrics')
  t.equal(sum(body, 'traces_spanmetrics_calls_total', { service: 'shop', span_name: 'GET /orders' }), 3)
  t.equal(sum(body, 'traces_spanmetrics_latency_sum', { service: 'shop' }), 0.75)
  t.equal(sum(body, 'pillion_otlp_received_items_total', { signal: 'traces' }), 3)
})

t.test(
  'it runs as a number, with no capability and no way to one, on a root that it cannot write to',
  { skip },
  async t => {
    await using pod = await Pod.kubernetes()
    const { pid } = await pod.join(image!.container([]))
    const web = await pod.client(19464)
    await until('ready', async () => (await web.get('/-/ready')).status === 200 || undefined)
    t.match(image!.config.User, /^\d+:\d+$/)
    const own = status(pid)
    t.match(own, /^Uid:\t65532\t65532\t65532\t65532$/m)
    t.match(own, /^Groups:\t\s*$/m)
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      t.match(own, new RegExp(`^${set}:\t0{16}$`, 'm'))
    t.match(own, /^NoNewPrivs:\t1$/m)
    t.match(readFileSync(`/proc/${pid}/mounts`, 'utf8'), /^\S+ \/ \S+ ro,/m)
    const folders = ['/', '/app', '/app/dist', '/tmp']
    for (const folder of folders)
      t.match(await pod.run(image!.program(['touch', `${folder}/x`])), { code: 1, output: /Read-only file system/ })
  },
)

t.test(
  'only the web port is open to other hosts; OTLP listens on loopback alone, and nothing else does',
  { skip },
  async t => {
    await using pod = await Pod.kubernetes()
    const { pid } = await pod.join(image!.container([]))
    const web = await pod.client(19464)
    await until('ready', async () => (await web.get('/-/ready')).status === 200 || undefined)
    const LISTEN = '0A'
    const listening = ['tcp', 'tcp6'].flatMap(file =>
      readFileSync(`/proc/${pid}/net/${file}`, 'utf8')
        .split('\n')
        .map(line => line.trim().split(/\s+/))
        .filter(([, , , state]) => state === LISTEN)
        .map(([, local = '']) => `${Number.parseInt(local.split(':')[1] ?? '', 16)} ${reach(local)}`),
    )
    t.same([...new Set(listening)].sort(), ['19464 all', '4317 loopback', '4318 loopback'])
  },
)

t.test('it says what it is, in the labels that registries read', { skip }, async t => {
  const label = (name: string) => image!.config.Labels[`org.opencontainers.image.${name}`]
  t.equal(label('title'), 'Pillion')
  t.equal(label('licenses'), 'Apache-2.0')
  t.equal(label('version'), JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version)
  t.match(label('revision'), /^[0-9a-f]{40}$/)
  t.ok(Date.parse(label('created') ?? ''))
  t.ok(label('description'))
  t.same(Object.keys(image!.config.ExposedPorts).sort(), ['19464/tcp', '4317/tcp', '4318/tcp'])
})

t.test('its bill of materials lists the packages that are in it, and no other', { skip }, async t => {
  const app = join(image!.root, 'app')
  const { components } = JSON.parse(readFileSync(join(app, 'sbom.cdx.json'), 'utf8')) as {
    components: { name: string; version: string }[]
  }
  const installed = readdirSync(app, { recursive: true, encoding: 'utf8' })
    .filter(path => /(^|\/)node_modules\/(@[^/]+\/)?[^@/][^/]*\/package\.json$/.test(path))
    .map(
      path =>
        `${path.slice(path.lastIndexOf('node_modules/') + 13, -13)}@${JSON.parse(readFileSync(join(app, path), 'utf8')).version}`,
    )
  t.ok(installed.length > 100)
  t.same(
    [...new Set(components.map(({ name, version }) => `${name}@${version}`))].sort(),
    [...new Set(installed)].sort(),
  )
})

t.test('it prints the dashboards, which come with it', { skip }, async t => {
  await using pod = await Pod.kubernetes()
  const { code, output } = await pod.run(image!.container(['dashboards']))
  t.equal(code, 0, output)
  t.match(output, /pillion-overview/)
})

t.test('it holds no sources, tests or tools', { skip }, async t => {
  t.same(readdirSync(join(image!.root, 'app')).sort(), [
    'LICENSE',
    'dashboards',
    'dist',
    'node_modules',
    'package.json',
    'sbom.cdx.json',
  ])
  t.notOk(readdirSync(join(image!.root, 'app/node_modules')).includes('typescript'))
})

/** An address as proc_pid_net(5) has it: hexadecimal, in the machine's own byte order (here the little-endian one). */
function reach(local: string): string {
  const [address = ''] = local.split(':')
  if (/^0+$/.test(address)) return 'all'
  return ['0100007F', '00000000000000000000000001000000'].includes(address) ? 'loopback' : address
}
