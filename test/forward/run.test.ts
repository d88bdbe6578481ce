// The whole sidecar with an upstream: as a program of its own, around an application that was told of a back end.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { LARGE } from '../../collectors/otlp/intake.ts'
import { Child, freePort, until } from '../e2e/child.ts'
import { MAIN, runSidecar, startSidecar } from '../e2e/ride.ts'
import { attribute, ld, span } from '../otlp/requests.ts'
import { spans } from './start.ts'
import { type Upstream, upstream } from './upstream.ts'

async function post(url: string, body: Buffer, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${url}/v1/traces`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-protobuf', ...headers },
    body: new Uint8Array(body),
  })
}

/** An application that says what it was told, and sends a request with a field that nobody knows. */
const APPLICATION = `
const variables = Object.entries(process.env).filter(([name]) => name.startsWith('OTEL_'))
console.log(JSON.stringify(Object.fromEntries(variables)))
const body = Buffer.from(process.argv[1], 'base64')
const headers = { 'content-type': 'application/x-protobuf' }
const url = process.env.OTEL_EXPORTER_OTLP_ENDPOINT + '/v1/traces'
fetch(url, { method: 'POST', headers, body }).then(answer => process.exit(answer.ok ? 7 : 1))
`
const BODY = Buffer.concat([
  ld(
    1,
    ld(1, attribute(1, 'service.name', 'shop'), ld(55, 'of the resource')),
    ld(2, ld(2, span('GET /', ld(77, 'unknown')))),
  ),
  ld(60, 'of the request'),
])

async function rideOnce(flags: readonly string[], env: NodeJS.ProcessEnv): Promise<Child> {
  const ports = [await freePort(), await freePort(), await freePort()]
  const listeners = ['web', 'otlp.http', 'otlp.grpc'].map((name, i) => `--${name}.listen=127.0.0.1:${ports[i]}`)
  const command = [process.execPath, '-e', APPLICATION, BODY.toString('base64')]
  return runSidecar(['run', ...listeners, ...flags, '--', ...command], env)
}

const env = (sink: Upstream) => ({
  OTEL_EXPORTER_OTLP_ENDPOINT: `${sink.url}/otlp`,
  OTEL_EXPORTER_OTLP_HEADERS: 'api-key=s3cr3t%20key',
  OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
})

t.test('pillion run takes the place of the back end that the environment names, which gets the same bytes', async t => {
  const sink = await upstream(t)
  const child = await rideOnce([], env(sink))
  t.equal((await child.ended).code, 7, 'the code of the application')
  t.equal(sink.arrived.length, 1, 'sent before the end')
  const [arrived] = sink.arrived
  t.same(arrived?.bytes, BODY, 'unknown fields too')
  t.equal(arrived?.path, '/otlp/v1/traces')
  t.equal(arrived?.headers['api-key'], 's3cr3t key')
  const told = JSON.parse(child.stdout.trim())
  t.match(told.OTEL_EXPORTER_OTLP_ENDPOINT, /^http:\/\/127.0.0.1:\d+$/)
  t.not(told.OTEL_EXPORTER_OTLP_ENDPOINT, sink.url)
  t.equal(told.OTEL_EXPORTER_OTLP_HEADERS, undefined)
  t.equal(told.OTEL_SERVICE_NAME, undefined, 'nothing that would change the resource')
  t.match(
    child.stderr,
    new RegExp(`forward +traces, metrics, logs to ${sink.url} \\(by OTEL_EXPORTER_OTLP_ENDPOINT\\)`),
  )
  t.notMatch(child.stderr, /s3cr3t/)
})

t.test('a request so large that it is read on a thread goes on with the fields that nobody knows', async t => {
  const sink = await upstream(t)
  await using ride = await startSidecar({ flags: ['--forward.endpoint', sink.url] })
  const items = Array.from({ length: 3000 }, (_, n) => ld(2, span(`s-${n}`, ld(77, `unknown ${n}`, 'x'.repeat(600)))))
  const resource = ld(1, attribute(1, 'service.name', 'shop'), ld(55, 'of the resource'))
  const scope = ld(2, ld(1, ld(1, 'till'), ld(66, 'in the scope')), ld(44, 'of the scope'), ...items)
  const body = Buffer.concat([ld(1, resource, ld(33, 'beside it'), scope), ld(60, 'of the request')])
  t.ok(body.length > LARGE.protobuf.traces, `${body.length} bytes`)
  t.equal((await post(ride.otlp, body)).status, 200)
  await until('all of it', () => sink.taken() === items.length || undefined)
  const all = Buffer.concat(sink.arrived.map(each => each.bytes))
  // A search from the beginning for each of them would take long.
  let at = 0
  let found = 0
  for (const each of items) {
    const next = all.indexOf(each, at)
    at = next < 0 ? all.indexOf(each) : next
    if (at >= 0) found++
  }
  t.equal(found, items.length, 'every span, byte for byte')
  for (const { bytes } of sink.arrived)
    for (const known of [resource, ld(33, 'beside it'), ld(66, 'in the scope'), ld(44, 'of the scope')])
      t.ok(bytes.includes(known), 'and what stands around it')
  t.ok(all.includes(ld(60, 'of the request')))
})

t.test('with forward.adopt: false the variables are left alone, and the application sends there itself', async t => {
  const sink = await upstream(t)
  const child = await rideOnce(['--no-forward.adopt'], env(sink))
  t.equal((await child.ended).code, 7)
  const told = JSON.parse(child.stdout.trim())
  t.match(told, env(sink))
  t.equal(sink.arrived[0]?.headers['pillion-hops'], undefined)
  t.match(child.stderr, /OTEL_EXPORTER_OTLP_ENDPOINT is set, so spans do not come here/)
})

t.test('a back end that is away does not change how the application ends, and costs no time', async t => {
  const sink = await upstream(t)
  await sink.close()
  const begun = performance.now()
  const child = await rideOnce([], env(sink))
  t.equal((await child.ended).code, 7)
  t.ok(performance.now() - begun < 15_000)
  t.match(child.stderr, /forwarding ended before everything was sent.*lost=1/)
})

t.test(
  'an endpoint that is the sidecar itself is no upstream if it comes from the environment, and an error otherwise',
  async t => {
    const [port, web] = [await freePort(), await freePort()]
    const listeners = [
      `--otlp.http.listen=127.0.0.1:${port}`,
      `--web.listen=127.0.0.1:${web}`,
      '--otlp.grpc.listen=off',
    ]
    for (const url of [`http://localhost:${port}`, `http://127.0.0.1:${port}`, `http://[::1]:${port}`]) {
      const child = await runSidecar([...listeners, `--forward.endpoint=${url}`])
      t.equal((await child.ended).code, 78)
      t.match(child.stderr, /--forward.endpoint: .*is this sidecar itself; give the address of another receiver/)
      const checked = await runSidecar(['check', ...listeners, `--forward.endpoint=${url}`])
      t.equal((await checked.ended).code, 78, 'and check says so too')
      t.equal(checked.stderr, child.stderr)
    }
    // As in a pod whose containers have the variables in common.
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://localhost:${port}` }
    await using child = await Child.start(process.execPath, [MAIN, ...listeners], env)
    await until('the sidecar', async () => (await fetch(`http://127.0.0.1:${web}/-/ready`)).ok || undefined)
    t.equal((await post(`http://127.0.0.1:${port}`, spans(1))).status, 200)
    const page = await (await fetch(`http://127.0.0.1:${web}/metrics`)).text()
    t.notMatch(page, /pillion_forward_held_items\{/)
    t.equal((await child.stop()).code, 0)
  },
)

t.test(
  'two sidecars that lead to each other are noticed: the request is refused, counted, and not sent again',
  async t => {
    const [a, b] = [await freePort(), await freePort()]
    const options = (own: number, other: number) => [
      `--otlp.http.listen=127.0.0.1:${own}`,
      `--forward.endpoint=http://127.0.0.1:${other}`,
    ]
    const [one, two] = await Promise.all([ride(t, options(a, b)), ride(t, options(b, a))])
    t.equal((await post(`http://127.0.0.1:${a}`, spans(3))).status, 200)
    await until(
      'the refusal',
      async () => (await value(one, 'pillion_otlp_refused_items_total', 'loop')) === 3 || undefined,
    )
    await until(
      'the drop',
      async () => (await value(two, 'pillion_forward_dropped_items_total', 'loop')) === 3 || undefined,
    )
    t.equal(await value(one, 'pillion_forward_items_total', 'traces'), 3)
  },
)

async function ride(t: Test, flags: readonly string[]): Promise<string> {
  const web = await freePort()
  const child = await Child.start(process.execPath, [
    MAIN,
    `--web.listen=127.0.0.1:${web}`,
    '--otlp.grpc.listen=off',
    ...flags,
  ])
  t.teardown(() => child[Symbol.asyncDispose]())
  await until('the sidecar', async () => (await fetch(`http://127.0.0.1:${web}/-/ready`)).ok || undefined)
  return `http://127.0.0.1:${web}`
}

async function value(web: string, family: string, label: string): Promise<number> {
  const page = await (await fetch(`${web}/metrics`)).text()
  return page
    .split('\n')
    .filter(line => line.startsWith(`${family}{`) && line.includes(`"${label}"`))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

t.test(
  'with a full queue and forward.queue.full=refuse, senders are told to come again, and nothing is half taken',
  async t => {
    const gone = await upstream(t)
    await gone.close()
    await using ride = await startSidecar({
      flags: [`--forward.endpoint=${gone.url}`, '--forward.queue.full=refuse', '--forward.queue.memory=2MiB'],
    })
    let refused: Response | undefined
    let sent = 0
    for (let i = 0; i < 200 && !refused; i++) {
      const answer = await post(ride.otlp, spans(20, 1000))
      if (answer.status === 200) sent += 20
      else refused = answer
    }
    t.equal(refused?.status, 503)
    t.ok(Number(refused?.headers.get('retry-after')) <= 2)
    t.equal(await ride.value('pillion_otlp_accepted_items_total', { signal: 'traces' }), sent)
    t.equal(await ride.value('pillion_forward_held_items', { signal: 'traces' }), sent)
    t.equal(await ride.value('pillion_otlp_refused_items_total', { signal: 'traces', reason: 'try_later' }), 20)
    t.equal(await ride.value('traces_spanmetrics_calls_total'), sent)
  },
)

t.test('print-config shows no header', async t => {
  const file = join(
    t.testdir({
      'pillion.yaml': 'forward: { endpoint: "http://u:p4ss@c", headers: ["Authorization: Bearer s3cr3t"] }',
    }),
    'pillion.yaml',
  )
  const child = await runSidecar(['print-config', '--config', file])
  t.match(child.stdout, /endpoint/)
  t.notMatch(child.stdout, /s3cr3t|p4ss/)
  t.match(readFileSync(file, 'utf8'), /s3cr3t/)
})
