// Applications without an SDK, each with the sidecar that makes it observable by what it writes.

import { join } from 'node:path'
import type { Test } from 'tap'
import { Child, until as came, freePort } from '../e2e/child.ts'
import type { Ride } from '../e2e/ride.ts'
import { ask, beside, nginx } from './servers.ts'
import { folder } from './start.ts'

export interface Story extends AsyncDisposable {
  readonly ride: Ride
  readonly service: string
  readonly operation: string
  /** Sends n requests more, one of five of which fails; without it the application works by itself. */
  send?(n: number): Promise<void>
}

const READY = 'health: { probes: [{ name: ready, kind: passive, interval: 200ms, window: 1m }] }'

/** An application like PHP behind nginx, which writes an error log. */
export async function php(t: Test): Promise<Story> {
  const { dir, write } = folder(t)
  const backend = await freePort()
  const errors = join(dir, 'php.log')
  const app = write(
    'app.cjs',
    `const fs = require('fs'); require('http').createServer((q, s) => { const bad = q.url.endsWith('7') || q.url.endsWith('2')
      fs.appendFileSync(${JSON.stringify(errors)}, '[28-Nov-2026 22:01:02 UTC] PHP ' + (bad ? 'Fatal error:  Uncaught TypeError' : 'Notice:  ok') + '\\n')
      setTimeout(() => { s.statusCode = bad ? 500 : 200; s.end('x') }, 5) }).listen(${backend}, '127.0.0.1')`,
  )
  const running = await Child.start(process.execPath, [app])
  t.teardown(() => running.stop())
  await came('the application', () => ask(backend, '/').then(() => true))
  const server = await nginx(t, dir, `location / { proxy_pass http://127.0.0.1:${backend}; }`)
  const ride = await beside(
    dir,
    `${READY}
files:
  sources:
    - { name: web, paths: [${server.log}], start: beginning, requests: nginx, service: shop }
    - { name: php, paths: [${errors}], start: beginning, service: shop }`,
  )
  let sent = 0
  return {
    ride,
    service: 'shop',
    operation: 'GET /cart/{id}',
    async send(n) {
      for (let i = 0; i < n; i++) await ask(server.port, `/cart/${sent++}`)
    },
    [Symbol.asyncDispose]: () => ride.child.stop().then(() => {}),
  }
}

/** A program that only writes text, of requests too. */
export async function legacy(t: Test): Promise<Story> {
  const { dir, path } = folder(t)
  const script = `i=0; while true; do i=$((i+1)); echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) INFO worker ready"
    s=200; [ $((i % 5)) = 0 ] && { s=500; echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) ERROR order $i failed"; }
    echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) INFO served POST /orders/$i in 12.5 ms: $s"; sleep 0.05; done >> ${path('legacy.log')}`
  const ride = await beside(
    dir,
    `app: { name: legacy }
${READY}
files:
  sources:
    - name: text
      paths: [${path('legacy.log')}]
      start: beginning
      requests: custom
      request_format: "$time INFO served $method $path in $duration_ms ms: $status"`,
    ['sh', '-c', script],
  )
  return {
    ride,
    service: 'legacy',
    operation: 'POST /orders/{id}',
    [Symbol.asyncDispose]: () => ride.child.stop().then(() => {}),
  }
}

/** An application that logs JSON to standard output. */
export async function jsonOutput(t: Test): Promise<Story> {
  const { dir } = folder(t)
  const script = `let i = 0; setInterval(() => { i++; const status = i % 5 ? 200 : 500
    console.log(JSON.stringify({ level: status === 500 ? 50 : 30, time: Date.now(), msg: 'request completed', req: { method: 'GET', url: '/api/users/' + i }, res: { statusCode: status }, responseTime: 12 }))
    if (status === 500) console.log(JSON.stringify({ level: 50, time: Date.now(), msg: 'boom', trace_id: '4bf92f3577b34da6a3ce929d0e0e4736' })) }, 30)`
  const ride = await beside(
    dir,
    `app: { name: api }
logs: { stdout: file, capture_dir: ${dir} }
${READY}
files: { sources: [{ name: out, stream: stdout, requests: json }] }`,
    [process.execPath, '-e', script],
  )
  return {
    ride,
    service: 'api',
    operation: 'GET /api/users/{id}',
    [Symbol.asyncDispose]: () => ride.child.stop().then(() => {}),
  }
}
