// Where telemetry is sent, by options and by the variables of the specification: its table, row by row.
// https://opentelemetry.io/docs/specs/otel/protocol/exporter/

import t from 'tap'
import { fromBaggage } from '../../exporter/forward/headers.ts'
import { plan, type Target } from '../../exporter/forward/target.ts'
import { forward } from '../../exporter/forward.ts'
import { defaultText } from '../../options/write.ts'
import type { Signal } from '../../telemetry/request.ts'
import { optionsOf, readForward } from './start.ts'

type Environment = Readonly<Record<string, string>>

/** The target of a signal by variables, without OTEL_EXPORTER_OTLP_ in their names. */
async function target(variables: Environment, signal: Signal = 'traces', file = '{}'): Promise<Target | undefined> {
  const full = Object.fromEntries(
    Object.entries(variables).map(([name, value]) => [`OTEL_EXPORTER_OTLP_${name}`, value]),
  )
  const plans = plan(await optionsOf(file, full))
  return plans.flatMap(({ targets }) => targets).find(each => each.signal === signal)
}

const posted = async (variables: Environment, signal: Signal = 'traces') => {
  const found = await target(variables, signal)
  return found && `${found.secure ? 'https' : 'http'}://${found.host}:${found.port}${found.path}`
}

t.test('endpoints: the path rules of the specification', async t => {
  const f = async (variables: Environment, expected: string | undefined, signal: Signal = 'traces') =>
    t.equal(await posted(variables, signal), expected, JSON.stringify(variables))
  await f({}, undefined)
  await f({ ENDPOINT: '' }, undefined)
  await f({ ENDPOINT: 'http://c:4318' }, 'http://c:4318/v1/traces')
  await f({ ENDPOINT: 'http://c:4318' }, 'http://c:4318/v1/metrics', 'metrics')
  await f({ ENDPOINT: 'http://c:4318' }, 'http://c:4318/v1/logs', 'logs')
  await f({ ENDPOINT: 'http://c:4318/' }, 'http://c:4318/v1/traces')
  await f({ ENDPOINT: 'http://c:4318/base' }, 'http://c:4318/base/v1/traces')
  await f({ ENDPOINT: 'http://c:4318/base/' }, 'http://c:4318/base/v1/traces')
  await f({ TRACES_ENDPOINT: 'http://c:4318' }, 'http://c:4318/')
  await f({ TRACES_ENDPOINT: 'http://c:4318/' }, 'http://c:4318/')
  await f({ TRACES_ENDPOINT: 'http://c/v1/traces/' }, 'http://c:80/v1/traces/')
  await f({ TRACES_ENDPOINT: 'http://c/own' }, undefined, 'logs')
  await f({ ENDPOINT: 'http://c', TRACES_ENDPOINT: 'http://d/own' }, 'http://d:80/own')
  await f({ ENDPOINT: 'http://c', TRACES_ENDPOINT: 'http://d/own' }, 'http://c:80/v1/logs', 'logs')
  await f({ ENDPOINT: 'http://c', TRACES_ENDPOINT: '' }, 'http://c:80/v1/traces')
  await f({ ENDPOINT: 'http://c' }, 'http://c:80/v1/traces')
  await f({ ENDPOINT: 'https://c' }, 'https://c:443/v1/traces')
  await f({ ENDPOINT: 'https://c/otlp' }, 'https://c:443/otlp/v1/traces')
  await f({ ENDPOINT: 'http://[::1]:4318' }, 'http://::1:4318/v1/traces')
})

t.test('gRPC: the path is ignored, a scheme beats insecure, and without both it is TLS', async t => {
  const f = async (variables: Environment, expected: string) => {
    const found = await target({ PROTOCOL: 'grpc', ...variables })
    t.equal(`${found?.secure ? 'https' : 'http'} ${found?.host}:${found?.port}`, expected, JSON.stringify(variables))
    t.equal(found?.path, '/opentelemetry.proto.collector.trace.v1.TraceService/Export')
  }
  await f({ ENDPOINT: 'http://c:4317' }, 'http c:4317')
  await f({ ENDPOINT: 'http://c:4317/base' }, 'http c:4317')
  await f({ ENDPOINT: 'https://c:4317', INSECURE: 'true' }, 'https c:4317')
  await f({ ENDPOINT: 'http://c:4317', INSECURE: 'false' }, 'http c:4317')
  await f({ ENDPOINT: 'c:4317' }, 'https c:4317')
  await f({ ENDPOINT: 'c:4317', INSECURE: 'TRUE' }, 'http c:4317')
  await f({ ENDPOINT: 'c:4317', INSECURE: 'yes' }, 'https c:4317')
  await f({ ENDPOINT: 'c:4317', INSECURE: 'true', TRACES_INSECURE: 'false' }, 'https c:4317')
  await f({ ENDPOINT: 'https://c' }, 'https c:443')
})

t.test('the protocol is that of the signal, of all, or what the port says', async t => {
  const f = async (variables: Environment, expected: string) =>
    t.equal((await target(variables))?.protocol, expected, JSON.stringify(variables))
  await f({ ENDPOINT: 'http://c:4318' }, 'http/protobuf')
  await f({ ENDPOINT: 'http://c:4317' }, 'grpc')
  await f({ ENDPOINT: 'http://c:4317', PROTOCOL: 'http/protobuf' }, 'http/protobuf')
  await f({ ENDPOINT: 'http://c:4318', PROTOCOL: 'http/json' }, 'http/protobuf')
  await f({ ENDPOINT: 'http://c:4318', PROTOCOL: 'grpc', TRACES_PROTOCOL: 'http/protobuf' }, 'http/protobuf')
  await f({ ENDPOINT: 'http://c:4318', TRACES_PROTOCOL: 'grpc' }, 'grpc')
  // A value that does not exist is ignored, as the specification says.
  await f({ ENDPOINT: 'http://c:4318', PROTOCOL: 'smoke' }, 'http/protobuf')
})

t.test('headers: pairs as in W3C Baggage; those of the signal win by name, and the rest is joined', async t => {
  const f = async (variables: Environment, expected: readonly string[], signal: Signal = 'traces') =>
    t.same((await target({ ENDPOINT: 'http://c', ...variables }, signal))?.headers, expected, JSON.stringify(variables))
  await f({}, [])
  await f({ HEADERS: 'a=b' }, ['a: b'])
  await f({ HEADERS: ' a = b , c=d=e ,' }, ['a: b', 'c: d=e'])
  await f({ HEADERS: 'Authorization=Basic%20dTpw' }, ['Authorization: Basic dTpw'])
  await f({ HEADERS: 'a=1,b=2', TRACES_HEADERS: 'A=3' }, ['a: 1', 'b: 2', 'A: 3'])
  await f({ HEADERS: 'a=1,b=2', TRACES_HEADERS: 'A=3' }, ['a: 1', 'b: 2'], 'logs')
  // Neither is sent: a broken list may be cut off in the middle of a credential.
  await f({ HEADERS: 'a=1%0d%0aX: y' }, [])
  await f({ HEADERS: 'novalue' }, [])
  t.throws(() => fromBaggage('a=1%0D%0Ab: c'), /cannot stand in a header/)
  t.throws(() => fromBaggage('host=other'), /must not set host/)
})

t.test('compression, timeout and certificates', async t => {
  const f = async (variables: Environment, expected: Partial<Target>, signal: Signal = 'traces') =>
    t.match(await target({ ENDPOINT: 'http://c', ...variables }, signal), expected, JSON.stringify(variables))
  await f({}, { coding: 'gzip', timeoutMs: 10_000, caFile: undefined })
  await f({ COMPRESSION: 'none' }, { coding: 'none' })
  await f({ COMPRESSION: 'none', TRACES_COMPRESSION: 'gzip' }, { coding: 'gzip' })
  await f({ COMPRESSION: 'none', TRACES_COMPRESSION: 'gzip' }, { coding: 'none' }, 'metrics')
  await f({ COMPRESSION: 'lzma' }, { coding: 'gzip' })
  await f({ TIMEOUT: '2500' }, { timeoutMs: 2500 })
  await f({ TIMEOUT: '2500', LOGS_TIMEOUT: '500' }, { timeoutMs: 500 }, 'logs')
  await f({ TIMEOUT: '2500', LOGS_TIMEOUT: '500' }, { timeoutMs: 2500 })
  await f({ TIMEOUT: 'soon' }, { timeoutMs: 10_000 })
  await f(
    { CERTIFICATE: '/ca', CLIENT_KEY: '/k', CLIENT_CERTIFICATE: '/c' },
    { caFile: '/ca', keyFile: '/k', certFile: '/c' },
  )
  await f(
    { CERTIFICATE: '/ca', TRACES_CERTIFICATE: '/ca2', TRACES_CLIENT_KEY: '/k', TRACES_CLIENT_CERTIFICATE: '/c' },
    { caFile: '/ca2', keyFile: '/k', certFile: '/c' },
  )
})

t.test('an option wins over its variable', async t => {
  const variables = { ENDPOINT: 'http://c', COMPRESSION: 'none', TIMEOUT: '1000' }
  const found = await target(variables, 'traces', '{ compression: zstd }')
  t.match(found, { host: 'c', coding: 'zstd', timeoutMs: 1000 })
})

t.test('if an upstream is configured otherwise, no variable is read: its credentials are for another host', async t => {
  const variables = {
    ENDPOINT: 'http://c',
    TRACES_ENDPOINT: 'http://d',
    HEADERS: 'api-key=secret',
    COMPRESSION: 'none',
  }
  for (const file of ['{ endpoint: "http://mine:4318" }', '{ traces: { endpoint: "http://mine:4318/own" } }'])
    t.match(await target(variables, 'traces', file), { host: 'mine', headers: [], coding: 'gzip' })
  const more = plan(
    await optionsOf('{ upstreams: [{ endpoint: "http://mine:4318" }] }', { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c' }),
  )
  t.same(
    more.map(({ name }) => name),
    ['mine:4318'],
  )
})

t.test('with adopt: false, or switched off, the variables are left alone', async t => {
  const variables = { ENDPOINT: 'http://c' }
  t.equal(await target(variables, 'traces', '{ adopt: false }'), undefined)
  t.equal(await target(variables, 'traces', '{ enabled: false }'), undefined)
  t.equal((await target(variables, 'traces', '{ adopt: true }'))?.host, 'c')
})

t.test('a value of a variable that cannot be used is a warning without the value if that is secret', async t => {
  const reading = await readForward('{}', {
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c',
    OTEL_EXPORTER_OTLP_HEADERS: 'k=s3cr3t%0ax',
  })
  t.ok(reading.ok)
  const warnings = reading.ok ? reading.warnings.join() : ''
  t.match(warnings, /OTEL_EXPORTER_OTLP_HEADERS.*ignored/)
  t.notMatch(warnings, /s3cr3t/)
})

t.test('options that cannot work are refused with their place', async t => {
  const f = async (file: string, expected: RegExp) => {
    const reading = await readForward(file)
    t.match(reading.ok ? 'fine' : reading.problems.map(({ text }) => text).join('; '), expected, file)
  }
  await f('{ endpoint: "ftp://c" }', /must be a URL/)
  await f('{ upstreams: [{ name: x }] }', /upstreams\[0\].endpoint.*is missing/)
  await f('{ endpoint: "http://c", headers: ["nothing"] }', /headers\[0\].*must be "Name: value"/)
  await f('{ endpoint: "http://c", headers: ["Content-Length: 5"] }', /must not set Content-Length/)
  await f('{ endpoint: "http://c", cert_file: /c }', /key_file.*is missing/)
  const twins = await optionsOf('{ endpoint: "http://c", upstreams: [{ endpoint: "http://c" }] }')
  t.throws(() => plan(twins), /two upstreams with the name c:80/)
})

t.test('user and password of a URL become a header, and are not shown', async t => {
  const found = await target({ ENDPOINT: 'https://us%40er:p%3Aw@c/otlp?x=secret' })
  t.equal(found?.userinfo, 'us@er:p:w')
  t.equal(found?.url, 'https://c/otlp/v1/traces')
  t.equal(found?.path, '/otlp/v1/traces?x=secret')
})

t.test('an option of one signal that takes the value of all signals shows no default', t => {
  const { timeout, compression, endpoint } = forward.options.fields.traces.fields
  t.same([timeout, compression, endpoint].map(defaultText), ['', '', ''])
  t.end()
})
