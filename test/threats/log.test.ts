// Names from outside that try to forge log lines, or to control the terminal on which the log is read.

import { connect } from 'node:net'
import t from 'tap'
import { Child, until } from '../e2e/child.ts'
import { startSidecar } from '../e2e/ride.ts'
import { attribute, ld, number, span, traces } from '../otlp/requests.ts'

const HOSTILE = [
  'x\n{"level":"error","msg":"forged"}',
  'x\ntime=2026-01-01T00:00:00.000Z level=error logger=pillion msg=forged',
  '\x1b[2J',
  '\x9b31m',
  'a\u2028b',
  '\u202etxt.exe',
  `${'a'.repeat(1024 * 1024)}`,
]
/** A whole line of ours, or one of the banner, which has no fields. */
const LINE =
  /^(?:time=\S+ level=(?:info|warn|error) logger=pillion msg=(?:[^\s"=]+|"(?:[^"\\]|\\.)*")(?: [\w.]+=(?:[^\s"]*|"(?:[^"\\]|\\.)*"))*|pillion .*| {2,}\S.*|)$/

t.test('whatever applications and clients call themselves, each line of the log is ours and obeys nobody', async t => {
  // The name of a process is chosen by itself: here it has a line's end, an escape and a mark that turns the text around.
  const program = `process.title = ${JSON.stringify(`${HOSTILE[1]}\x1b[2J\u202e`)}; setInterval(() => {}, 1000); console.log('up')`
  await using app = await Child.start(process.execPath, ['-e', program, 'room for a title'.repeat(20)])
  await app.says(/up/)
  await using ride = await startSidecar({ flags: ['--app.match', 'level=error'] })
  const post = async (path: string, body: Buffer): Promise<void> => {
    const headers = { 'content-type': 'application/x-protobuf' }
    await (await fetch(`${ride.otlp}${path}`, { method: 'POST', headers, body: new Uint8Array(body) })).arrayBuffer()
  }
  for (const text of HOSTILE) {
    const service = attribute(1, 'service.name', text)
    await post('/v1/traces', traces([service], span(text, attribute(9, text, text))))
    // A gauge and a counter of one name, in a unit that cannot be: what the rules say about it may be logged.
    const point = ld(1, Buffer.from('310700000000000000', 'hex'), attribute(7, text, text))
    for (const kind of [ld(5, point), ld(7, point, number(2, 2), number(3, 1))])
      await post('/v1/metrics', ld(1, ld(1, service), ld(2, ld(2, ld(1, text), ld(3, text), kind))))
    await post('/v1/logs', ld(1, ld(1, service), ld(2, ld(2, ld(3, text), ld(5, ld(1, text))))))
    for (const base of [ride.web, ride.otlp, ride.grpc])
      for (const line of [
        `GET /${text} HTTP/1.1\r\nHost: ${text}\r\n`,
        `POST /-/reload HTTP/1.1\r\nHost: a\r\nOrigin: ${text}\r\n`,
      ])
        await said(base, `${line}User-Agent: ${text}\r\nAuthorization: Bearer ${text}\r\nContent-Type: ${text}\r\n\r\n`)
  }
  await until('the application', async () => (await ride.value('app_process_up')) === 1 || undefined)
  await ride.child.says(/pillion \d/)
  await ride.child.stop()

  const lines = ride.child.stderr.split('\n')
  t.ok(lines.length > 3, `${lines.length} lines`)
  for (const line of lines) {
    t.match(line, LINE)
    t.ok(Buffer.byteLength(line) <= 4096)
  }
  t.notMatch(ride.child.stderr.replaceAll('\n', ''), /[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/)
  t.notMatch(ride.child.stderr, /^time=2026-01-01/m)
  t.equal(ride.child.stdout, '')
})

/** Sends the bytes and waits until the peer has answered or closed. */
function said(base: string, bytes: string): Promise<void> {
  const { hostname, port } = new URL(base)
  return new Promise(resolve => {
    const socket = connect(Number(port), hostname)
    socket.on('error', () => {})
    socket.on('close', () => resolve())
    socket.on('data', () => socket.destroy())
    socket.end(bytes)
  })
}
