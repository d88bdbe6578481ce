// The whole sidecar around an application that sends telemetry and ends: what is in the record, and what goes upstream
// before the sidecar ends with it.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { extracted } from '../../exporter/flight/record.ts'
import { freePort } from '../e2e/child.ts'
import { runSidecar } from '../e2e/ride.ts'
import { upstream } from '../forward/upstream.ts'
import { decoder } from '../otlp/protobufjs.ts'

t.setTimeout(120_000)

/** Sends a trace that failed and a log record with a secret, and ends soon after. */
const APPLICATION = `
const url = process.env.OTEL_EXPORTER_OTLP_ENDPOINT
const post = (signal, value) =>
  fetch(url + '/v1/' + signal, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) })
const resource = { attributes: [{ key: 'service.name', value: { stringValue: 'shop' } }] }
const now = BigInt(Date.now()) * 1000000n
const span = { traceId: 'ab'.repeat(16), spanId: 'cd'.repeat(8), name: 'POST /import', kind: 2, status: { code: 2 },
  startTimeUnixNano: String(now - 50000000n), endTimeUnixNano: String(now) }
const record = { timeUnixNano: String(now), severityNumber: 17, body: { stringValue: 'import failed, token=hunter2' } }
setTimeout(async () => {
  await post('traces', { resourceSpans: [{ resource, scopeSpans: [{ spans: [span] }] }] })
  await post('logs', { resourceLogs: [{ resource, scopeLogs: [{ logRecords: [record] }] }] })
  process.exit(7)
}, 1500)`

async function run(dir: string, sink: string, listen: boolean, command: readonly string[]) {
  const http = listen ? `127.0.0.1:${await freePort()}` : 'off'
  const listeners = ['--web.listen=off', `--otlp.http.listen=${http}`, '--otlp.grpc.listen=off']
  const flags = [`--flight.dir=${dir}`, '--health.enabled=false', `--forward.endpoint=${sink}`]
  await using child = await runSidecar(['run', ...listeners, ...flags, '--', ...command])
  const { code } = await child.ended
  const names = readdirSync(dir)
  return { code, names, log: child.stderr, record: extracted(readFileSync(join(dir, names[0]!), 'utf8')) }
}

/** The log records with this event name that an upstream was sent. */
function summaries({ arrived }: Awaited<ReturnType<typeof upstream>>) {
  const LogsRequest = decoder('logs')
  return arrived
    .filter(({ signal }) => signal === 'logs')
    .map(({ bytes }) => LogsRequest.toObject(LogsRequest.decode(bytes), { longs: String }))
    .flatMap(request => request['resourceLogs'] as { scopeLogs: { logRecords: Record<string, unknown>[] }[] }[])
    .flatMap(({ scopeLogs }) => scopeLogs.flatMap(({ logRecords }) => logRecords))
    .filter(({ eventName }) => eventName === 'pillion.flight')
}

t.test(
  'the record has the trace that failed and the last log record; its summary is upstream before the end',
  async t => {
    const sink = await upstream(t)
    const dir = t.testdir({})
    const { code, names, record, log } = await run(dir, sink.url, true, [process.execPath, '-e', APPLICATION])
    t.equal(code, 7, 'the exit code of the application')
    t.equal(names.length, 1, 'one record, and no ring is left')
    t.match(record.cause, { reason: 'error', evidence: 'status', text: /exit code 7/ })
    t.match(record.traces, [{ traceId: 'ab'.repeat(16), service: 'shop', name: 'POST /import', errors: 1 }])
    t.match(record.logs, [{ severity: 'ERROR', service: 'shop', body: 'import failed, token=[redacted]' }])
    t.ok(record.parts.some(({ name }) => name === 'process'))
    t.match(log, /flight record written/)
    t.match(summaries(sink), [{ severityText: 'FATAL', body: { stringValue: /exit code 7/ } }])
  },
)

t.test('the summary goes upstream although nobody listens for telemetry', async t => {
  const sink = await upstream(t)
  const { record } = await run(t.testdir({}), sink.url, false, ['sh', '-c', 'sleep 1; exit 3'])
  t.match(record.cause, { reason: 'error', text: /exit code 3/ })
  t.match(summaries(sink), [{ body: { stringValue: /exit code 3/ } }])
})
