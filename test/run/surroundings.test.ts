import t from 'tap'
import { banner } from '../../sidecar/banner.ts'
import { applicationEnvironment, serviceName } from '../../supervise/environment.ts'

t.test('the banner says where to look, what was found and what is missing', async t => {
  t.same(
    banner({
      version: '0.1.0',
      application: { command: ['node', 'server.js'], pid: 4711, port: 8080 },
      web: 'http://127.0.0.1:19464',
      otlp: [
        { protocol: 'http/protobuf', url: 'http://127.0.0.1:4318' },
        { protocol: 'grpc', url: 'http://127.0.0.1:4317' },
      ],
      findings: [
        { part: 'health', level: 'info', text: 'GET http://127.0.0.1:8080/ every 10 s' },
        { part: 'process', level: 'warning', text: 'cannot read /proc/4711/io; run the sidecar as user 1000' },
        { part: 'process', level: 'info', text: 'cgroup v2, limit 2 cores' },
      ],
    }),
    [
      'pillion 0.1.0 rides with node server.js (pid 4711, port 8080)',
      '  metrics   http://127.0.0.1:19464/metrics',
      '  page      http://127.0.0.1:19464/',
      '  spans to  http://127.0.0.1:4318 (http/protobuf)',
      '            http://127.0.0.1:4317 (grpc)',
      '  health    GET http://127.0.0.1:8080/ every 10 s',
      '! process   cannot read /proc/4711/io; run the sidecar as user 1000',
      '            cgroup v2, limit 2 cores',
    ],
  )
})

t.test('the banner is one line when nothing is on, and says when there is no application', async t => {
  const nothing = { version: '0.1.0', otlp: [], findings: [] }
  t.same(banner({ ...nothing, application: {} }), ['pillion 0.1.0 has no application yet'])
  t.same(banner({ ...nothing, application: { url: 'http://127.0.0.1:8080/' } }), [
    'pillion 0.1.0 watches http://127.0.0.1:8080/',
  ])
  t.same(banner({ ...nothing, application: { pid: 7 } }), ['pillion 0.1.0 watches the application (pid 7)'])
})

t.test('the banner has colours for a terminal only, and nothing in it can add any', async t => {
  const about = {
    version: '0.1.0',
    application: { command: ['\x1b[31mred', 'x'.repeat(100)] },
    otlp: [],
    findings: [{ part: 'health', level: 'warning' as const, text: 'a\n\x1b[2Jb\u202e' }],
  }
  const plain = banner(about).join('\n')
  t.notMatch(plain, /[\x1b\u202e]/)
  t.match(plain, 'a\\n\\u{1b}[2Jb\\u{202e}')
  t.equal(
    banner(about, true)
      .join('\n')
      .replace(/\x1b\[\d*m/g, ''),
    plain,
  )
  t.ok(banner(about)[0]!.length < 100)
})

const doors = { http: 'http://127.0.0.1:4318', grpc: undefined }

t.test('the environment names our door and the service where nothing is set', async t => {
  const inherited = { PATH: '/bin' }
  t.same(applicationEnvironment(inherited, doors, 'shop'), {
    env: {
      PATH: '/bin',
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318',
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf',
      OTEL_SERVICE_NAME: 'shop',
    },
    diverted: undefined,
  })
  t.same(inherited, { PATH: '/bin' }, 'the inherited one is left as it is')
})

t.test('what the user has set stays, and it is said when spans then go elsewhere', async t => {
  const f = (
    set: Record<string, string>,
    added: Record<string, string>,
    diverted?: RegExp,
    open: Parameters<typeof applicationEnvironment>[1] = doors,
  ): void => {
    const result = applicationEnvironment(set, open, 'shop')
    t.same(result.env, { ...set, ...added }, JSON.stringify(set))
    if (diverted) t.match(result.diverted, diverted)
    else t.equal(result.diverted, undefined)
  }
  const service = { OTEL_SERVICE_NAME: 'shop' }
  const ours = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' }
  const protocol = { OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf' }
  f({ OTEL_SERVICE_NAME: 'mine' }, { ...ours, ...protocol })
  f({ OTEL_SERVICE_NAME: '' }, { ...ours, ...protocol, ...service })
  f({ OTEL_RESOURCE_ATTRIBUTES: 'a=b, service.name=mine' }, { ...ours, ...protocol })
  f({ OTEL_RESOURCE_ATTRIBUTES: 'service.namespace=x' }, { ...ours, ...protocol, ...service })
  f({ OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' }, { ...ours, ...service })
  f({ OTEL_EXPORTER_OTLP_ENDPOINT: '' }, { ...ours, ...protocol, ...service })
  f({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318/' }, service)
  f(
    { OTEL_EXPORTER_OTLP_ENDPOINT: 'https://u:s3cr3t@collector:4318' },
    service,
    /^OTEL_EXPORTER_OTLP_ENDPOINT is set, so spans do not come here; unset it, or point it to http:\/\/127.0.0.1:4318$/,
  )
  f({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'not a url' }, service, /^OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set/)
  f(
    { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' },
    service,
    /speaks OTLP as "grpc", so spans do not come here; set OTEL_EXPORTER_OTLP_PROTOCOL=http\/protobuf/,
  )
  const grpc = 'http://127.0.0.1:4317'
  f({ OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, { ...service, OTEL_EXPORTER_OTLP_ENDPOINT: grpc }, undefined, {
    ...doors,
    grpc,
  })
  f({}, { ...service, OTEL_EXPORTER_OTLP_ENDPOINT: grpc, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, undefined, {
    http: undefined,
    grpc,
  })
  f({}, service, /^no OTLP door listens/, { http: undefined, grpc: undefined })
})

t.test('the service is called as configured, else by the program that the command runs', async t => {
  const f = (command: string, expected: string, configured?: string): void => {
    t.equal(serviceName(command.split(' '), configured), expected, command)
  }
  f('node server.js', 'shop', 'shop')
  f('node server.js', 'server')
  f('/usr/local/bin/node --import ./otel.js -r x.cjs src/server.mts --port 1', 'server')
  f('node --inspect=0 --enable-source-maps app', 'app')
  f('node -e code', 'node')
  f('node', 'node')
  f('./bin/shop --verbose', 'shop')
  f('/opt/shop/shop-1.2.jar', 'shop-1.2')
  f('java -Xmx1g -cp a:b -jar shop.jar', 'shop')
  f('java -cp a:b com.example.Shop', 'com.example.Shop')
  f('python3.12 -u -m shop.main', 'shop.main')
  f('python manage.py runserver', 'manage')
  f('python -c code', 'python')
  f('ruby -I lib app.rb', 'app')
  f('bun run index.ts', 'index')
  f('sh -c anything', 'sh')
  f('.hidden', '.hidden')
  t.equal(serviceName([]), 'application')
})
