// h2spec asks what RFC 7540 and RFC 7541 demand of a server, once of the protocol alone and once of the gRPC receiver.

import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { absent, judge } from '../../deploy/judges.ts'
import { receiver } from '../receiver.ts'
import { Recorder } from '../recorder.ts'
import { echo } from './echo.ts'

t.setTimeout(300_000)

const EXPORT = '/opentelemetry.proto.collector.trace.v1.TraceService/Export'

interface Result {
  readonly passed: number
  /** The cases that failed, each with what came instead. */
  readonly failed: readonly string[]
  readonly skipped: readonly string[]
}

async function h2spec(t: Test, port: number, path: string): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), 'pillion-h2spec-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const report = join(folder, 'report.xml')
  const args = ['generic', 'http2', 'hpack', '--port', String(port), '--path', path, '--junit-report', report]
  const { stdout } = await judge('h2spec', args)
  t.comment(stdout.trim().split('\n').at(-1))
  const cases = [
    ...readFileSync(report, 'utf8').matchAll(
      /<testcase package="([^"]*)"[^>]*classname="([^"]*)"[^>]*?(?:\/>|>(.*?)<\/testcase>)/gs,
    ),
  ]
  const named = (part: string) =>
    cases
      .filter(([, , , inside]) => inside?.includes(`<${part}`))
      .map(([, section, text]) => `${section}: ${text?.replaceAll('&#34;', '"')}`)
  const [failed, skipped] = [[...named('failure'), ...named('error')], named('skipped')]
  return { passed: cases.length - failed.length - skipped.length, failed, skipped }
}

t.test('the protocol passes', { skip: absent }, async t => {
  const { port } = await echo(t)
  const { passed, failed, skipped } = await h2spec(t, port, '/')
  t.same(failed, [])
  t.same(skipped, [])
  t.ok(passed > 140, `${passed} passed`)
})

// h2spec sends GET and no content type. The receiver answers that by its head alone, and looks at the first bytes of a connection.
const EARLY = 'the call has been answered and is over when the frame in question comes'
const NOT_DEMANDED: Readonly<Record<string, string>> = {
  'generic/2: Sends a WINDOW_UPDATE frame on half-closed (remote) stream': 'a refusal has no body',
  'generic/2: Sends a PRIORITY frame on half-closed (remote) stream': 'a refusal has no body',
  'http2/3.5: Sends invalid connection preface': 'it is answered in HTTP/1.1, then closed',
  'http2/5.1: closed: Sends a DATA frame after sending RST_STREAM frame': EARLY,
  'http2/5.1: closed: Sends a HEADERS frame after sending RST_STREAM frame': EARLY,
  'http2/5.1.2: Sends HEADERS frames that causes their advertised concurrent stream limit to be exceeded': EARLY,
  'http2/6.9: Sends a WINDOW_UPDATE frame with a flow control window increment of 0 on a stream': EARLY,
  'http2/6.9.1: Sends multiple WINDOW_UPDATE frames increasing the flow control window to above 2^31-1 on a stream':
    EARLY,
  'http2/8.1: Sends a second HEADERS frame without the END_STREAM flag': EARLY,
  'http2/8.1.2.1: Sends a HEADERS frame that contains a pseudo-header field as trailers': EARLY,
  'http2/8.1.2.6: Sends a HEADERS frame with the "content-length" header field which does not equal the DATA frame payload length':
    EARLY,
  'http2/8.1.2.6: Sends a HEADERS frame with the "content-length" header field which does not equal the sum of the multiple DATA frames payload length':
    EARLY,
}

t.test('the gRPC receiver passes, except where it has answered already', { skip: absent }, async t => {
  const { grpcPort } = await receiver(t, { spans: [new Recorder()] })
  const { failed, passed } = await h2spec(t, grpcPort, EXPORT)
  t.same(
    failed.filter(each => !(each in NOT_DEMANDED)),
    [],
  )
  t.ok(passed >= 129, `${passed} passed`)
})
