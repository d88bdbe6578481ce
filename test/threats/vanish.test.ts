// Clients that have vanished or stopped: their connections are closed.

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Child, until } from '../e2e/child.ts'
import { startSidecar } from '../e2e/ride.ts'
import { accepted, client, OPENED } from './connections.ts'

t.setTimeout(120_000)

const linux = existsSync('/proc/net/tcp') ? false : 'needs /proc/net/tcp: run on Linux'
/** With a user namespace, every user may create a network namespace. */
const NAMESPACE = ['--user', '--map-root-user', '--net', '--kill-child', '--fork']

function impossible(): string | false {
  const { status, error, stderr } = spawnSync('unshare', [...NAMESPACE, 'ip', 'link'], { encoding: 'utf8' })
  if (error) return 'no unshare; apt-get install util-linux'
  return (
    status !== 0 && `no network namespace with ip (${stderr.trim()}); apt-get install iproute2, allow user namespaces`
  )
}

t.test(
  'the kernel asks a silent client of any listener whether it is still there, after 30 s',
  { skip: linux },
  async t => {
    await using ride = await startSidecar()
    await using peer = await Child.start(process.execPath, ['-e', client(ride)])
    await peer.says(/opened/)
    const held = await until('all connections', () => {
      const all = accepted(ride)
      return all.length >= OPENED && all.every(({ timer }) => timer === 2) ? all : undefined
    })
    for (const { seconds } of held) t.ok(seconds > 0 && seconds <= 30, `in ${seconds} s`)
  },
)

t.test(
  'a client that is stopped in the middle of its requests to OTLP holds nothing for long',
  { skip: linux },
  async t => {
    const flags = [
      ...['--otlp.http.header_timeout', '1s', '--otlp.http.request_timeout', '1s'],
      ...['--otlp.grpc.header_timeout', '1s', '--otlp.grpc.request_timeout', '1s', '--otlp.grpc.idle_timeout', '1s'],
    ]
    await using ride = await startSidecar({ flags })
    await using peer = await Child.start(process.execPath, ['-e', client(ride)])
    await peer.says(/opened/)
    peer.kill('SIGSTOP')
    // These are left: idle connections after an answer over HTTP, the unfinished head at the web server, and our own scrape.
    await until('the connections to be given up', async () => {
      const inflight = await ride.value('pillion_otlp_inflight_bytes')
      return (accepted(ride).length <= 4 && inflight === 0) || undefined
    })
    peer.kill('SIGCONT')
    t.equal(await ride.value('pillion_otlp_requests_total', { transport: 'http', code: '408' }), 3)
    t.equal(await ride.value('pillion_otlp_requests_total', { transport: 'grpc', code: '4' }), 1)
  },
)

t.test(
  'clients whose network vanishes hold no connection for longer than a minute',
  { skip: linux || impossible() },
  async t => {
    const inside = ['sh', '-c', 'ip link set lo up && exec "$@"', 'inside', process.execPath]
    await using child = await Child.start('unshare', [...NAMESPACE, ...inside, join(import.meta.dirname, 'vanish.ts')])
    await child.ended
    const said = JSON.parse(child.stdout || `{"nothing": ${JSON.stringify(child.stderr)}}`)
    t.comment(`given up after ${said.seconds} s`)
    t.match(said, { opened: true, left: 0, uncaught: 0 })
    t.ok(said.seconds <= 60)
    t.notMatch(said.stderr, /level=error/)
  },
)
