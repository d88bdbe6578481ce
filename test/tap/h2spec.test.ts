// HTTP/2 without TLS passes the tap unseen: h2spec finds the same through it as without it.

import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { absent, judge } from '../deploy/judges.ts'
import { Child } from '../e2e/child.ts'
import { MAIN } from '../e2e/ride.ts'
import { flags, ports, tapAnswers } from './tapped.ts'

t.setTimeout(300_000)

/** Each case with its outcome. */
async function h2spec(t: Test, port: number): Promise<readonly string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'pillion-h2spec-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const report = join(folder, 'report.xml')
  await judge('h2spec', ['generic', 'http2', 'hpack', '--port', `${port}`, '--path', '/', '--junit-report', report])
  const cases = (await readFile(report, 'utf8')).matchAll(
    /<testcase package="([^"]*)"[^>]*classname="([^"]*)"[^>]*?(?:\/>|>(.*?)<\/testcase>)/gs,
  )
  return [...cases].map(([, section, text, inside]) => {
    const outcome = /<(failure|error|skipped)/.exec(inside ?? '')?.[1] ?? 'passed'
    return `${section}: ${text}: ${outcome}`
  })
}

/** A case with each outcome that it may have. */
function outcomes(each: string): string[] {
  const name = each.slice(0, each.lastIndexOf(': '))
  return ['passed', 'failure', 'error', 'skipped'].map(outcome => `${name}: ${outcome}`)
}

t.test('h2spec: an HTTP/2 server behind the tap is as right as without it', { skip: absent }, async t => {
  const server = createServer((asked, answer) => {
    asked.resume()
    answer.end('hello')
  })
  server.on('sessionError', () => {}).on('error', () => {})
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const at = await ports()
  await using child = await Child.start(process.execPath, [MAIN, 'tap', ...flags(at, port)])
  await tapAnswers(at)
  const direct = await h2spec(t, port)
  const tapped = await h2spec(t, at.tap)
  t.ok(direct.filter(each => each.endsWith(': passed')).length > 100, `${direct.length} cases`)
  // A few cases race the server's own end of the connection, so both are asked again until each case ended alike once.
  const [without, behind] = [new Set(direct), new Set(tapped)]
  const others = () => tapped.filter(each => !outcomes(each).some(one => without.has(one) && behind.has(one)))
  for (let tries = 0; tries < 4 && others().length > 0; tries++) {
    for (const each of await h2spec(t, port)) without.add(each)
    for (const each of await h2spec(t, at.tap)) behind.add(each)
  }
  t.same(others(), [])
  t.equal(tapped.length, direct.length)
  const { numbers } = await tapAnswers(at)
  const { http2, not_http } = numbers['opaque'] as { http2: number; not_http: number }
  t.ok(http2 > 100, `${http2} connections of HTTP/2 and ${not_http} of neither`)
  t.same(numbers['requests'], { '1xx': 0, '2xx': 0, '3xx': 0, '4xx': 0, '5xx': 0 })
  await child.stop()
})
