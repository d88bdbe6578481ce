// The order of the start under `pillion run`: the receivers listen before the application could send anything.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startSidecar } from '../e2e/ride.ts'
import { request, span } from '../otlp/requests.ts'

const ROUNDS = 10

t.setTimeout(120_000)

t.test(
  `an application whose first act is to send one span, once: it is taken, ${ROUNDS} times of ${ROUNDS}`,
  async t => {
    const body = request(span('first'))
    const head = `POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\nContent-Length: ${body.length}\r\n\r\n`
    const file = join(t.testdir({}), 'request')
    writeFileSync(file, Buffer.concat([Buffer.from(head), body]))
    // bash connects within milliseconds of its start, long before any SDK could.
    const script = `
    exec 3<>"/dev/tcp/127.0.0.1/\${OTEL_EXPORTER_OTLP_ENDPOINT##*:}" && cat '${file}' >&3
    IFS= read -r status <&3
    echo "$status"
    exec sleep 20`
    for (let round = 1; round <= ROUNDS; round += 1) {
      await using ride = await startSidecar({ command: ['bash', '-c', script] })
      const [, status] = await ride.child.says(/^(HTTP\/1\.1 .*?)\r?\n/m)
      t.equal(status, 'HTTP/1.1 200 OK', `round ${round}: ${ride.child.stderr}`)
      t.equal(await ride.value('pillion_otlp_accepted_items_total', { signal: 'traces' }), 1)
      t.equal(await ride.value('traces_spanmetrics_calls_total', { span_name: 'first' }), 1)
      await ride.child.stop()
    }
  },
)
