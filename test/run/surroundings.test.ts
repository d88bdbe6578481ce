import t from 'tap'
import { banner } from '../../sidecar/banner.ts'
import { applicationEnvironment } from '../../supervise/environment.ts'
import { serviceName } from '../../supervise/name.ts'

t.test('the banner says where to look, what was found and what is missing', async t => {
  t.same(
    banner({
      version: '0.1.0',
      application: { command: ['node', 'server.js'], service: 'shop', pid: 4711, port: 8080 },
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
      '  service  shop',
      '  metrics  http://127.0.0.1:19464/metrics',
      '  page     http://127.0.0.1:19464/',
      '  OTLP to  http://127.0.0.1:4318 (http/protobuf)',
      '           http://127.0.0.1:4317 (grpc)',
      '  health   GET http://127.0.0.1:8080/ every 10 s',
      '! process  cannot read /proc/4711/io; run the sidecar as user 1000',
      '           cgroup v2, limit 2 cores',
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

const endpoints = { http: 'http://127.0.0.1:4318', grpc: undefined }

t.test('the environment names our listener and the service where nothing is set', async t => {
  const inherited = { PATH: '/bin' }
  t.same(applicationEnvironment(inherited, endpoints, 'shop'), {
    env: {
      PATH: '/bin',
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318',
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf',
      OTEL_METRIC_EXPORT_INTERVAL: '10000',
      OTEL_SERVICE_NAME: 'shop',
    },
    diverted: undefined,
  })
  t.same(inherited, { PATH: '/bin' }, 'the inherited one is left as it is')
})

t.test('if the sidecar forwards, the application is given its address in place of the back end', async t => {
  const f = (set: Record<string, string>, expected: Record<string, string>) => {
    const both = { ...endpoints, grpc: 'http://127.0.0.1:4317' }
    const { env, diverted } = applicationEnvironment(set, both, 'shop', true)
    t.same(env, expected, JSON.stringify(set))
    t.equal(diverted, undefined)
  }
  const http = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318', OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf' }
  const grpc = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4317', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }
  const backend = 'https://backend.example/otlp'
  f({ OTEL_EXPORTER_OTLP_ENDPOINT: backend }, http)
  f({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: backend }, http)
  f({ OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: backend, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, grpc)
  // SDKs whose default is gRPC are given its port.
  f({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4317' }, grpc)
  // Credentials and certificates are for the back end; what is measured, and how, stays.
  const connection = {
    OTEL_EXPORTER_OTLP_ENDPOINT: backend,
    OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: backend,
    OTEL_EXPORTER_OTLP_HEADERS: 'api-key=secret',
    OTEL_EXPORTER_OTLP_TRACES_HEADERS: 'api-key=secret',
    OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
    OTEL_EXPORTER_OTLP_CERTIFICATE: '/ca.pem',
    OTEL_EXPORTER_OTLP_CLIENT_KEY: '/key.pem',
    OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE: '/cert.pem',
    OTEL_EXPORTER_OTLP_INSECURE: 'false',
  }
  const measuring = {
    OTEL_EXPORTER_OTLP_TIMEOUT: '5000',
    OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: 'delta',
    OTEL_RESOURCE_ATTRIBUTES: 'team=a',
  }
  f({ ...connection, ...measuring }, { ...http, ...measuring })
  // Nobody named a back end: all is as without forwarding.
  f({}, { ...http, OTEL_METRIC_EXPORT_INTERVAL: '10000', OTEL_SERVICE_NAME: 'shop' })
})

t.test('variables that the user has set stay, and it is said when spans then go elsewhere', async t => {
  const f = (
    set: Record<string, string>,
    added: Record<string, string>,
    diverted?: RegExp,
    open: Parameters<typeof applicationEnvironment>[1] = endpoints,
  ): void => {
    const result = applicationEnvironment(set, open, 'shop')
    t.same(result.env, { ...set, ...added }, JSON.stringify(set))
    if (diverted) t.match(result.diverted, diverted)
    else t.equal(result.diverted, undefined)
  }
  const service = { OTEL_SERVICE_NAME: 'shop' }
  const interval = { OTEL_METRIC_EXPORT_INTERVAL: '10000' }
  const ours = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318', ...interval }
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
  f(
    { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' },
    { ...service, ...interval, OTEL_EXPORTER_OTLP_ENDPOINT: grpc },
    undefined,
    {
      ...endpoints,
      grpc,
    },
  )
  f(
    {},
    { ...service, ...interval, OTEL_EXPORTER_OTLP_ENDPOINT: grpc, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' },
    undefined,
    {
      http: undefined,
      grpc,
    },
  )
  f({}, service, /^no OTLP listener is open/, { http: undefined, grpc: undefined })
})

t.test(
  "the sidecar's own settings are kept from the application, and what Kubernetes sets for a Service is not",
  async t => {
    const { env } = applicationEnvironment(
      {
        PILLION_FORWARD_HEADERS: 'authorization=s3cr3t',
        PILLION_CONFIG: 'x.yaml',
        _PILLION_LAUNCH: 'pid=1',
        PILLION_PORT: 'tcp://10.0.0.1:80',
        PILLIONS: '2',
      },
      endpoints,
      'shop',
    )
    t.same(
      Object.keys(env).filter(name => /PILLION/.test(name)),
      ['PILLION_PORT', 'PILLIONS'],
    )
  },
)

t.test('the name of a service is looked for behind the programs that only start it', async t => {
  const dir = t.testdir({ 'package.json': '{"name":"@acme/checkout"}', apps: { 'package.json': '{"name":"web"}' } })
  const f = (command: readonly string[] | string, expected: string): void => {
    const words = typeof command === 'string' ? command.split(' ') : command
    t.equal(serviceName(words, undefined, dir), expected, words.join(' '))
  }
  f('npm start', 'checkout')
  f('npm run serve', 'checkout')
  f('npm --prefix apps start', 'web')
  f('npm exec -- tsx server.ts', 'server')
  f('npx --yes tsx server.ts', 'server')
  f('pnpm dev', 'checkout')
  f('env -u X A=1 B=2 python3 manage.py runserver', 'manage')
  f('nice -n 5 ./shop', 'shop')
  f('timeout -k 5 60 ./batch.sh', 'batch')
  f('opentelemetry-instrument --traces_exporter otlp python app.py', 'app')
  f('opentelemetry-instrument gunicorn -b :80 shop:app', 'shop')
  f('python -m gunicorn shop:app', 'shop')
  f('uv run python -m shop.main', 'shop.main')
  f('tini -- node server.js', 'server')
  f('sh start.sh', 'start')
  f(['sh', '-c', 'cd /srv && exec node server.js'], 'server')
  f(['bash', '-lc', 'export A=1; DEBUG="a b" python -m shop 2>&1 | tee log'], 'shop')
  f(['sh', '-c', 'npx tsx "my server.ts"'], 'my server')
  f(['sh', '-c', 'env A=1 node server.js'], 'server')
  f(['sh', '-c', 'umask 077; exec "$@"', 'sh', 'node', 'server.js'], 'server')
  f('docker-entrypoint.sh node server.js', 'server')
  f('setpriv --reuid 1000 --clear-groups node server.js', 'server')
  f('s6-setuidgid app ./shop', 'shop')
  f('go run ./cmd/shop', 'shop')
  f('bun run start', 'checkout')
  f('bun run server.ts', 'server')
  // Nothing there to be named.
  f(['sh', '-c', 'while :; do sleep 1; done'], 'sh')
  f(['sh', '-c', '$CMD'], 'sh')
  f('npx', 'npx')
  f('env', 'env')
  f('env A=1', 'env')
  f('docker-entrypoint.sh', 'docker-entrypoint')
  f(['sh', '-c', 'env; exit 3'], 'sh')
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
  f('gunicorn -w 4 shop.wsgi:app', 'shop.wsgi')
  f('tsx src/server.ts', 'server')
  f('.hidden', '.hidden')
  t.equal(serviceName([]), 'application')
})
