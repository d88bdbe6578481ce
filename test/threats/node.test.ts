// The Node versions that the sidecar refuses, and code that it never loads.

import t from 'tap'
import { Child } from '../e2e/child.ts'
import { MAIN, startSidecar } from '../e2e/ride.ts'

const preload = (name: string): NodeJS.ProcessEnv => ({
  NODE_OPTIONS: `--import ${new URL(`fixtures/${name}.ts`, import.meta.url).href}`,
})

t.test('on Node 24.12, which has known holes, it does not start: 78, and which one to install', async t => {
  await using child = await Child.start(process.execPath, [MAIN, '--web.listen', '0'], preload('old'))
  t.same(await child.ended, { code: 78, signal: null })
  t.match(child.stderr, /^pillion: cannot run on Node 24\.12\.0: 24\.18\.1 is the oldest that is safe; install it/)
})

t.test('no decoder of protobuf but our own is loaded, even with everything switched on', async t => {
  // The package for our own traces brings several, among them versions with known holes (CVE-2026-44291).
  const flags = ['--self.traces', 'http://127.0.0.1:1/']
  await using ride = await startSidecar({ flags, env: preload('modules') })
  for (const [base, path] of [
    [ride.otlp, '/v1/traces'],
    [ride.otlp, '/v1/metrics'],
    [ride.otlp, '/v1/logs'],
  ])
    for (const type of ['application/json', 'application/x-protobuf']) {
      const body = type === 'application/json' ? '{}' : ''
      t.equal((await fetch(`${base}${path}`, { method: 'POST', headers: { 'content-type': type }, body })).status, 200)
    }
  await fetch(`${ride.web}/`)
  await ride.scrape()
  ride.child.kill('SIGUSR2')
  const [, loaded = ''] = await ride.child.says(/loaded: (.*) \./)
  t.match(loaded, /express/)
  t.match(loaded, /@grpc\/grpc-js/, 'which comes with that package')
  t.notMatch(loaded, /protobuf|proto-loader/)
})
