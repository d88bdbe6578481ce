// Health documents as real frameworks write them, and what only looks like one.

import t from 'tap'
import { COMPONENT_CAP, looksLikeDocument, readDocument } from '../../collectors/health/document.ts'
import fc from '../property.ts'

/** Components as "name+" or "name-", observed values as "name=value unit". */
function read(document: unknown): string[] | undefined {
  const found = readDocument(typeof document === 'string' ? document : JSON.stringify(document))
  return (
    found && [
      found.status,
      ...found.components.map(({ name, up }) => `${name}${up ? '+' : '-'}`),
      ...found.observed.map(({ name, value, unit }) => `${name}=${value}${unit && ` ${unit}`}`),
    ]
  )
}

t.test('health+json (draft-inadarei-api-health-check-06, its own example)', async t => {
  const document = {
    status: 'pass',
    version: '1',
    releaseId: '1.2.2',
    notes: [''],
    output: '',
    serviceId: 'f03e522f-1f44-4062-9b55-9587f91c9c41',
    checks: {
      'cassandra:responseTime': [
        {
          componentId: 'dfd6cf2b-1b6e-4412-a0b8-f6f7797a60d2',
          componentType: 'datastore',
          observedValue: 250,
          observedUnit: 'ms',
          status: 'pass',
          time: '2018-01-17T03:36:48Z',
          output: '',
        },
      ],
      'cassandra:connections': [{ componentType: 'datastore', observedValue: 75, status: 'warn' }],
      uptime: [{ componentType: 'system', observedValue: 1209600.245, observedUnit: 's', status: 'pass' }],
      'cpu:utilization': [
        { componentId: '6fd416e0', node: 1, observedValue: 85, observedUnit: 'percent', status: 'warn' },
        { componentId: '6fd416e1', node: 2, observedValue: 85, observedUnit: 'percent', status: 'fail' },
      ],
    },
  }
  t.same(read(document), [
    'up',
    'cassandra:responseTime+',
    'cassandra:connections+',
    'uptime+',
    'cpu:utilization/6fd416e0+',
    'cpu:utilization/6fd416e1-',
    'cassandra:responseTime=250 ms',
    'cassandra:connections=75',
    'uptime=1209600.245 s',
    'cpu:utilization/6fd416e0:node=1',
    'cpu:utilization/6fd416e0=85 percent',
    'cpu:utilization/6fd416e1:node=2',
    'cpu:utilization/6fd416e1=85 percent',
  ])
})

t.test('Spring Actuator, nested, with a status that says neither', async t => {
  const document = {
    status: 'DOWN',
    components: {
      db: {
        status: 'DOWN',
        components: { primary: { status: 'UP', details: { database: 'H2' } }, replica: { status: 'OUT_OF_SERVICE' } },
      },
      diskSpace: { status: 'UP', details: { total: 500, free: 100, threshold: 10, exists: true } },
      discovery: { status: 'UNKNOWN' },
    },
    groups: ['liveness', 'readiness'],
  }
  t.same(read(document), [
    'down',
    'db-',
    'db/primary+',
    'db/replica-',
    'diskSpace+',
    'diskSpace:total=500',
    'diskSpace:free=100',
    'diskSpace:threshold=10',
  ])
})

t.test('Spring Boot 1 and 2.0', async t => {
  t.same(read({ status: 'UP', diskSpace: { status: 'UP', free: 7 }, db: { status: 'DOWN' } }), [
    'up',
    'diskSpace+',
    'db-',
    'diskSpace:free=7',
  ])
  t.same(read({ status: 'UP', details: { db: { status: 'UP', details: { database: 'H2' } } } }), ['up', 'db+'])
})

t.test('MicroProfile', async t => {
  const document = {
    status: 'DOWN',
    checks: [
      { name: 'Database connection', status: 'UP', data: { connections: 3, host: 'x' } },
      { name: 'Queue', status: 'DOWN' },
    ],
  }
  t.same(read(document), ['down', 'Database connection+', 'Queue-', 'Database connection:connections=3'])
})

t.test('Terminus', async t => {
  const document = {
    status: 'error',
    info: { dog: { status: 'up' } },
    error: { redis: { status: 'down', message: 'timeout' } },
    details: { dog: { status: 'up', badboys: 2 }, redis: { status: 'down', message: 'timeout' } },
  }
  t.same(read(document), ['down', 'dog+', 'redis-', 'dog:badboys=2'])
})

t.test('ASP.NET', async t => {
  const document = {
    status: 'Degraded',
    totalDuration: '00:00:00.0512',
    entries: {
      sql: { data: { latency: 12 }, duration: '00:00:00.0501', status: 'Healthy', tags: [] },
      bus: { data: {}, status: 'Unhealthy' },
    },
  }
  t.same(read(document), ['up', 'sql+', 'bus-', 'sql:latency=12'])
})

t.test('a body that is not a health document is none', async t => {
  const f = (document: unknown) => t.equal(read(document), undefined, JSON.stringify(document).slice(0, 60))
  f('')
  f('{"status": "UP"')
  f('null')
  f('"UP"')
  f([{ status: 'UP' }])
  f({})
  f({ status: true })
  f({ status: 200, checks: {} })
  f({ status: 'success', data: { users: { count: 5 } } })
  f('['.repeat(60_000))
})

t.test('a plain status is a document without components', async t => {
  t.same(read({ status: 'ok' }), ['up'])
  t.same(read({ status: 'ok', data: { users: { count: 5 } }, count: 3 }), ['up'])
  t.same(read({ status: 'SHUTTING_DOWN' }), ['down'])
})

t.test('components and values are capped, and what is left out is counted', async t => {
  const checks = Array.from({ length: 250 }, (_, n) => ({ name: `c${n}`, status: 'UP', data: { n } }))
  const found = readDocument(JSON.stringify({ status: 'UP', checks }))
  t.equal(found?.components.length, COMPONENT_CAP)
  t.equal(found?.observed.length, COMPONENT_CAP)
  t.equal(found?.dropped, 300)
})

t.test('names are made fit for labels', async t => {
  const name = `a\nb\u0000${'x'.repeat(500)}`
  const [component] = readDocument(JSON.stringify({ status: 'UP', checks: [{ name, status: 'UP' }] }))?.components ?? []
  t.equal(component?.name, `a b ${'x'.repeat(124)}`)
  t.same(read('{"status":"UP","components":{"__proto__":{"status":"DOWN"},"\\ud800":{"status":"UP"}}}'), [
    'up',
    '__proto__-',
    '\ufffd+',
  ])
  t.same(read({ status: 'constructor' }), undefined)
})

t.test('nesting is followed to a depth, and numbers that are none are left out', async t => {
  let nested: Record<string, unknown> = { status: 'UP' }
  for (let n = 0; n < 2000; n++) nested = { status: 'UP', components: { a: nested } }
  const found = readDocument(JSON.stringify(nested))
  t.ok(found && found.components.length < 20)
  t.same(read('{"status":"UP","checks":{"x":[{"status":"pass","observedValue":1e400}]}}'), ['up', 'x+'])
})

t.test('only JSON is read', async t => {
  const f = (type: string | undefined, expected: boolean) => t.equal(looksLikeDocument(type), expected, type ?? 'none')
  f('application/json', true)
  f('application/json; charset=utf-8', true)
  f('application/health+json', true)
  f('application/vnd.spring-boot.actuator.v3+json;charset=UTF-8', true)
  f('Application/JSON', true)
  f('text/html', false)
  f('application/jsonl', false)
  f(undefined, false)
})

t.test('no JSON whatever makes the reading throw or exceed its bounds', async t => {
  const key = fc.constantFrom('status', 'checks', 'components', 'details', 'data', 'name', 'observedValue', 'x')
  const values = [fc.constantFrom<unknown>('UP', 'down', 'strange', 3, null), fc.double(), fc.string()]
  const documents = fc.object({ key, values, maxDepth: 5, maxKeys: 4, withNullPrototype: false })
  const bounded = fc.property(documents, value => {
    const found = readDocument(JSON.stringify({ status: 'UP', ...value }))
    return !found || (found.components.length <= COMPONENT_CAP && found.observed.every(o => Number.isFinite(o.value)))
  })
  t.equal(fc.check(bounded, { numRuns: 500 }).failed, false)
})
