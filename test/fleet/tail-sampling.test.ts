// Two layers of Collectors: whole traces are judged, though their spans come from several sidecars.

import t from 'tap'
import { freePort, until } from '../e2e/child.ts'
import { type Ride, startSidecar } from '../e2e/ride.ts'
import { BackEnd } from './back-end.ts'
import { type Gateway, gateway, withoutContrib } from './gateway.ts'

t.setTimeout(180_000)

const TRACES = 300
const SERVICES = ['shop', 'stock', 'mail']

t.test(
  'spans of three sidecars meet in one of two Collectors, which keeps traces with an error whole and others or none of them',
  { skip: withoutContrib },
  async t => {
    await using open = new AsyncDisposableStack()
    const backEnd = open.use(await BackEnd.listen())
    const samplers = ['127.0.0.1', '127.0.0.2']
    const [port, samplerPort] = [await freePort(), await freePort()]
    const second: Gateway[] = []
    for (const host of samplers)
      second.push(
        open.use(
          await gateway('tail-sampling.yaml', {
            ...{ LISTEN: `${host}:${samplerPort}`, TRACES: backEnd.url },
            // From the first span of a trace: all that come to the sidecars must have come here by then.
            DECISION_WAIT: '10s',
          }),
        ),
      )
    // Instead of the name of a headless service, which nobody resolves here.
    const hostnames = samplers.map(host => `${host}:${samplerPort}`)
    const first = open.use(
      await gateway('load-balancing.yaml', { LISTEN: `127.0.0.1:${port}` }, [
        { exporters: { load_balancing: { resolver: { dns: null, static: { hostnames } } } } },
      ]),
    )
    const flags = ['--health.guess', 'false', '--forward.endpoint', `http://127.0.0.1:${port}`]
    const rides: Ride[] = []
    for (const service of SERVICES)
      rides.push(open.use(await startSidecar({ flags: [...flags, '--app.name', service] })))
    const now = BigInt(Date.now()) * 1_000_000n
    const bodies = SERVICES.map((service, s) => {
      const spans = Array.from({ length: TRACES }, (_, n) => ({
        traceId: id(n, 32),
        spanId: id(3 * n + s, 16),
        ...(s > 0 && { parentSpanId: id(3 * n + s - 1, 16) }),
        name: `work of ${service}`,
        kind: 2,
        startTimeUnixNano: String(now - 1_000_000n),
        endTimeUnixNano: String(now),
        // Only the last service knows.
        ...(n % 10 === 0 && s === 2 && { status: { code: 2 } }),
      }))
      const resource = { attributes: [{ key: 'service.name', value: { stringValue: service } }] }
      return JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ spans }] }] })
    })
    const headers = { 'content-type': 'application/json' }
    const send = async ({ otlp }: Ride, body: string) =>
      (await fetch(`${otlp}/v1/traces`, { method: 'POST', headers, body })).status
    t.strictSame(await Promise.all(rides.map((ride, s) => send(ride, bodies[s]!))), [200, 200, 200])
    for (const ride of rides)
      await until(
        'the spans forwarded',
        async () => (await ride.value('pillion_forward_items_total', { signal: 'traces' })) === TRACES || undefined,
      )
    t.equal(await first.counter('otelcol_receiver_accepted_spans'), TRACES * SERVICES.length)
    const received = await Promise.all(second.map(each => each.counter('otelcol_receiver_accepted_spans')))
    t.equal(
      received.reduce((sum, each) => sum + each, 0),
      TRACES * SERVICES.length,
    )
    t.ok(Math.min(...received) > 0, `each of them has some: ${received}`)
    const decided = async () => {
      const name = 'otelcol_processor_tail_sampling_global_count_traces_sampled'
      const counts = await Promise.all(second.map(each => each.counter(name)))
      return counts.reduce((sum, each) => sum + each, 0)
    }
    await until('all decisions', async () => (await decided()) === TRACES || undefined)
    const errors = Array.from({ length: TRACES / 10 }, (_, n) => id(10 * n, 32))
    const kept = await until('the kept traces', () => {
      const spans = new Map<string, number>()
      for (const trace of backEnd.seen.values()) spans.set(trace, (spans.get(trace) ?? 0) + 1)
      return errors.every(trace => spans.get(trace) === SERVICES.length) ? spans : undefined
    })
    t.strictSame([...new Set(kept.values())], [SERVICES.length], 'no trace is there in part')
    t.ok(kept.size < TRACES / 2, `${kept.size} of ${TRACES} traces were kept`)
  },
)

/** An id whose bits all depend on the number. */
function id(n: number, digits: number): string {
  let text = ''
  for (let i = 0; text.length < digits; i++) {
    const mixed = Math.imul(n * 64 + i + 1, 0x9e3779b1)
    text += ((mixed ^ (mixed >>> 15)) >>> 0).toString(16).padStart(8, '0')
  }
  return text.slice(0, digits)
}
