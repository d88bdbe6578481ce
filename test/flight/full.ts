// A recorder in a folder that cannot be written, in a mount namespace that the test has made.

import { readdirSync } from 'node:fs'
import { Recorder } from '../../exporter/flight/recorder.ts'
import { redaction } from '../../exporter/flight/redact.ts'
import { world } from '../world.ts'

const dir = process.argv[2]!
const host = world('/proc')
const options = { dir, keep: 10, max_bytes: 1e9, logs: true }
const big = 'x'.repeat(4000)
const logs = Array.from({ length: 40 }, () => ({ at: 1, severity: 'INFO', service: 'shop', body: big, traceId: '' }))
const recorder = new Recorder(
  options,
  {
    ...host,
    moments: () => undefined,
    recall: async () => ({ logs }),
    intake: () => ({ offer: () => ({ kind: 'taken', rejected: 0, text: '' }) }),
    status: () => ({ version: '', uptimeSeconds: 0, application: {}, parts: [], ledger: [] }),
  },
  await redaction([]),
)
host.app.ended = { pid: 7, at: 1.75e12, reason: 'killed', evidence: 'status', text: 'it ended' }
recorder.look()
await recorder.written()
const failed = async (what: string) => {
  const values = (await host.metrics.registry.getSingleMetric('pillion_flight_failures_total')?.get())?.values ?? []
  return values.find(({ labels }) => labels['what'] === what)?.value ?? 0
}
while ((await failed('ring')) === 0) await new Promise(setImmediate)
console.log(
  JSON.stringify({
    findings: recorder.findings().map(({ text }) => text),
    failures: [await failed('record'), await failed('ring')],
    names: readdirSync(dir),
  }),
)
