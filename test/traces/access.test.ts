// Attributes of spans may hold secrets: who may read them.

import t from 'tap'
import { traces } from '../../exporter/traces.ts'
import { clock } from '../../host/clock.ts'
import { SpanVisitor } from '../../otlp/visit.ts'
import { Keys } from '../../telemetry/keys.ts'
import { openServer, parsed } from '../web/open.ts'
import { world } from '../world.ts'
import { encode, from } from './room.ts'

t.test('traces are not shown to other hosts without a token, nor to pages of other sites', async t => {
  const host = { ...world('/proc'), clock: clock as never }
  const running = traces.start({ keep: 2 ** 20, query: { timeout: 5000 } }, host)
  const spans = running.consumes?.spans ?? []
  const bytes = encode(from('shop', { trace: 'a1', span: '1', attributes: { password: 'hunter2' } }))
  new SpanVisitor(new Keys(), spans).visit({ signal: 'traces', bytes, items: 1, received: Date.now() })
  const routes = () => running.routes ?? []
  const paths = [
    '/tempo/api/traces/a1',
    '/tempo/api/v2/traces/a1',
    '/tempo/api/search?q=%7B%7D',
    '/tempo/api/v2/search/tags',
    '/tempo/api/v2/search/tag/span.password/values',
    '/tempo/api/echo',
    '/tempo/',
  ]
  const open = await openServer(t, { host: { routes }, options: { listen: { host: '0.0.0.0', port: 0 } } })
  for (const path of paths) {
    const { status, body } = parsed(await open.ask(`GET ${path}`))
    t.equal(status, 403, path)
    t.notMatch(body, 'hunter2')
  }
  const own = await openServer(t, { host: { routes } })
  t.match(parsed(await own.ask('GET /tempo/api/traces/a1')).body, 'hunter2', 'this host reads them')
  const rebound = parsed(
    await own.raw('GET /tempo/api/traces/a1 HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n'),
  )
  t.equal(rebound.status, 421, 'a name that was rebound to this host')
  t.notMatch(rebound.body, 'hunter2')
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS'])
    t.equal(parsed(await own.ask(`${method} /tempo/api/traces/a1`)).status, 405, method)
})
