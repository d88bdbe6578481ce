// The command line as a user has it: real processes, their output and their exit codes.

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { askReady } from '../../verbs/healthcheck.ts'
import { ownVersion, unfit } from '../../version.ts'

const MAIN = join(import.meta.dirname, '../../main.ts')

// Each test starts several processes, which takes long on a busy machine.
t.setTimeout(300_000)

interface Ended {
  code: number | null
  out: string
  err: string
}

const folder = mkdtempSync(join(tmpdir(), 'pillion-'))
t.teardown(() => rmSync(folder, { recursive: true }))

/** Runs the program in an empty folder, with only the given environment. */
async function pillion(args: string[], env: Record<string, string> = {}, node: string[] = []): Promise<Ended> {
  const child = spawn(process.execPath, [...node, MAIN, ...args], { cwd: folder, env: { PATH: '', ...env } })
  let [out, err] = ['', '']
  child.stdout.on('data', text => {
    out += text
  })
  child.stderr.on('data', text => {
    err += text
  })
  const [code] = await once(child, 'close')
  return { code, out, err }
}

t.test('version', async t => {
  t.same(await pillion(['version']), { code: 0, out: `pillion ${ownVersion()}\n`, err: '' })
  t.equal((await pillion(['--version'])).out, `pillion ${ownVersion()}\n`)
  const { out } = await pillion(['version', '--json'])
  t.match(JSON.parse(out), { name: 'pillion', version: /^\d+\.\d+\.\d+/, node: process.versions.node })
})

t.test('help', async t => {
  for (const args of [['help'], ['--help'], ['-h'], ['--nonsense', 'help', '-h']]) {
    const { code, out, err } = await pillion(args)
    t.match({ code, err }, { code: 0, err: '' })
    t.match(out, /^Pillion rides beside.*\n\nUsage:\n {2}pillion \[URL\] \[options\]/)
  }
})

t.test('help is one screen; a section, a command or everything is shown on request', async t => {
  const short = (await pillion(['help'])).out
  t.ok(short.split('\n').length < 60, `${short.split('\n').length} lines`)
  const { out } = await pillion(['help', 'health.probes'])
  t.match(out, '--health.probes.0.url')
  t.notMatch(out, '--web.listen')
  t.match(await pillion(['help', '--all']), { code: 0, out: /--spans\.graph\.pending/ })
  t.match(await pillion(['run', '--help']), { code: 0, out: /^Usage:\n {2}pillion run / })
  t.same(await pillion(['help', 'helth']), {
    code: 64,
    out: '',
    err: 'helth: no such section or command; did you mean health?\n',
  })
  t.same(await pillion(['check', '--all']), { code: 64, out: '', err: '--all: belongs to pillion help\n' })
})

t.test('schema and metrics are what the documents hold', async t => {
  const document = (name: string) => readFileSync(join(import.meta.dirname, '../../docs', name), 'utf8')
  t.equal((await pillion(['schema'])).out, document('pillion.schema.json'))
  t.equal((await pillion(['metrics'])).out, document('metrics.md'))
  const { out } = await pillion(['metrics', '--json'])
  t.ok(JSON.parse(out).some((each: { name: string }) => each.name === 'pillion_build_info'))
})

t.test(
  'check says what is wrong, and by its exit code whether it was the command line or the configuration',
  async t => {
    t.same(await pillion(['check']), { code: 0, out: 'the configuration is right; no file was read\n', err: '' })
    t.same(await pillion(['check', '--app.ulr=x']), {
      code: 64,
      out: '',
      err: '--app.ulr: unknown option; did you mean --app.url?\n',
    })
    t.same(await pillion(['check'], { PILLION_APP_PORT: 'x' }), {
      code: 78,
      out: '',
      err: 'PILLION_APP_PORT: must be a whole number from 1 to 65535, not "x"\n',
    })
    t.same(await pillion(['chekc']), { code: 64, out: '', err: 'chekc: unknown command; did you mean check?\n' })
    t.same(await pillion(['run', '--app.port=0']), {
      code: 64,
      out: '',
      err: [
        'run: needs a command after "--", as in: pillion run -- node server.js\n',
        '--app.port: must be a whole number from 1 to 65535, not "0"\n',
      ].join(''),
    })
  },
)

t.test('the file is the one that is named, else pillion.yaml in the working directory', async t => {
  const named = join(folder, 'named.yaml')
  writeFileSync(named, 'app: {name: named}\n')
  const name = async (args: string[], env: Record<string, string> = {}) =>
    /name: (\S+)/.exec((await pillion(['print-config', ...args], env)).out)?.[1]
  t.equal(await name([`--config=${named}`]), 'named')
  t.equal(await name([], { PILLION_CONFIG: named }), 'named')
  t.equal(await name(['--config', '/dev/null'], { PILLION_CONFIG: named }), 'not')
  t.same(await pillion(['check', '--config', 'none.yaml']), {
    code: 78,
    out: '',
    err: 'none.yaml: there is no such file; check --config and PILLION_CONFIG\n',
  })
  writeFileSync(join(folder, 'pillion.yaml'), 'app: {name: here, prot: 1}\n')
  t.teardown(() => rmSync(join(folder, 'pillion.yaml')))
  t.same(await pillion(['check']), {
    code: 78,
    out: '',
    err: 'pillion.yaml:1:19: app.prot: unknown key; did you mean port?\n',
  })
  t.match(
    await pillion([]),
    { code: 78, err: /^pillion\.yaml:1:19: / },
    'nothing is started with a wrong configuration',
  )
})

t.test('check names the file that it read, and the one that looks like it', async t => {
  const file = join(folder, 'named.yaml')
  writeFileSync(file, 'app: {name: named}\n')
  t.same(await pillion(['check', '--config', 'named.yaml']), {
    code: 0,
    out: `${realpathSync(file)}: the configuration is right\n`,
    err: '',
  })
  writeFileSync(join(folder, 'pillion.yml'), 'app: {name: overlooked}\n')
  t.teardown(() => rmSync(join(folder, 'pillion.yml')))
  const warning = 'pillion: warning: pillion.yml is not read; rename it to pillion.yaml, or name it with --config\n'
  t.same(await pillion(['check']), { code: 0, out: 'the configuration is right; no file was read\n', err: warning })
  t.match(await pillion(['check', '--config', 'pillion.yml']), { code: 0, err: '' })
})

t.test('check while nobody writes into the pipe that it reads ends on SIGTERM', async t => {
  const pipe = join(folder, 'pipe.yaml')
  execFileSync('mkfifo', [pipe])
  const child = spawn(process.execPath, [MAIN, 'check', '--config', pipe], { stdio: 'ignore' })
  const held = () => readdirSync(`/proc/${child.pid}/fd`).some(fd => linkOf(`/proc/${child.pid}/fd/${fd}`) === pipe)
  while (!held()) await new Promise(resolve => setTimeout(resolve, 10))
  child.kill('SIGTERM')
  t.same(await once(child, 'close'), [143, null])
})

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    // It was closed after the folder was read.
    return undefined
  }
}

t.test('dashboards are listed, and written where they are wanted', async t => {
  const { code, out } = await pillion(['dashboards'])
  t.equal(code, 0)
  t.match(out, /^pillion-overview\.json +Pillion/m)
  t.equal((await pillion(['dashboards', '--out', 'boards'])).code, 0)
  t.match(JSON.parse(readFileSync(join(folder, 'boards/pillion-overview.json'), 'utf8')), { schemaVersion: 42 })
})

t.test('data sources for sidecars are printed for Grafana', async t => {
  const { code, out } = await pillion([
    'dashboards',
    '--sidecar',
    'http://shop:19464',
    '--prometheus',
    'http://prom:9090',
  ])
  t.equal(code, 0)
  t.match(out, /type: tempo\n.*\n +url: http:\/\/shop:19464\/tempo/)
  t.match(out, 'url: http://prom:9090')
  const f = async (args: string[], message: string) =>
    t.match(await pillion(['dashboards', ...args]), { code: 64, err: message }, args.join(' '))
  await f(['--sidecar', 'shop'], 'pillion: shop: not an address such as http://shop:19464')
  await f(['--prometheus', 'http://prom:9090'], 'pillion: --sidecar: needed for data sources')
  await f(['--sidecar', 'http://shop:19464', '--out', 'x'], 'pillion: --out: cannot be given with --sidecar')
})

t.test('for Kubernetes, dashboards and rules are printed as objects', async t => {
  const boards = await pillion(['dashboards', '--kubernetes'])
  t.match(boards, { code: 0, out: /^---\napiVersion: v1\nkind: ConfigMap\n/ })
  t.match(await pillion(['rules', '--kubernetes']), { code: 0, out: 'kind: PrometheusRule' })
  t.equal((await pillion(['rules', '--kubernetes'])).out, (await pillion(['rules', '--format', 'kubernetes'])).out)
  const f = async (args: string[], err: string) => t.match(await pillion(args), { code: 64, err }, args.join(' '))
  await f(['check', '--kubernetes'], '--kubernetes: belongs to pillion rules and pillion dashboards')
  await f(['dashboards', '--kubernetes', '--out', 'x'], 'pillion: --out: cannot be given with --kubernetes')
  await f(['rules', '--kubernetes', '--format', 'alertmanager'], '--kubernetes: cannot be given with --format')
})

t.test('rules are printed, with objectives if there are any', async t => {
  const plain = await pillion(['rules'])
  t.equal(plain.code, 0)
  t.notMatch(plain.out, 'slo:sli_error')
  const { out } = await pillion(['rules', '--slo', 'availability=99.9', '--runbooks', 'https://ops.example/runbooks'])
  t.match(out, 'slo:')
  t.match(out, 'runbook_url: https://ops.example/runbooks#')
  const bad = await pillion(['rules', '--slo', 'fast'])
  t.equal(bad.code, 64)
  t.match(bad.err, /"fast".*availability=99\.9/)
  t.match(await pillion(['check', '--slo', 'availability=99.9']), {
    code: 64,
    err: '--slo: belongs to pillion rules\n',
  })
})

t.test('rules ask for the names and buckets that file, environment and flags configure', async t => {
  const file = join(folder, 'pillion.yaml')
  writeFileSync(file, 'spans: {buckets: [500ms, 1s, 2s]}\n')
  t.teardown(() => rmSync(file))
  const slo = ['--slo', 'latency=1s:99']
  const bounds = ({ out }: Ended) => [...new Set([...out.matchAll(/le=~?"[^"]*"/g)].map(([found]) => found))]
  t.same(bounds(await pillion(['rules', ...slo])), ['le=~"1|1\\\\.0"'])
  const named = { PILLION_SPANS_BUCKETS: '4s', PILLION_SPANS_NAMING: 'otel' }
  const otel = await pillion(['rules', ...slo, '--spans.buckets', '250ms,1500ms'], named)
  t.same(bounds(otel), ['le="1.5"'], 'the next of the bounds there are')
  t.match(otel.out, 'traces_span_metrics_duration_seconds_bucket')
  t.notMatch(otel.out, 'traces_spanmetrics')

  t.same(await pillion(['rules', '--slo', 'latency=3s:99']), {
    code: 64,
    out: '',
    err: 'pillion: cannot tell which requests took 3 s; the buckets of traces_spanmetrics_latency reach from 0.5 s to 2 s (spans.buckets)\n',
  })
  writeFileSync(file, 'spans: {buckets: soon}\n')
  const wrong = await pillion(['rules'])
  t.equal(wrong.code, 78)
  t.match(wrong.err, /^pillion\.yaml:1:18: spans\.buckets: /)
  t.equal(wrong.out, '')
})

t.test('a variable of OpenTelemetry gives the name, and nothing secret is printed', async t => {
  const url = '--app.url=http://u:s3cr3t@127.0.0.1:1/?token=s3cr3t'
  const { code, out } = await pillion(['print-config', url, '--no-health.guess'], { OTEL_SERVICE_NAME: 'shop' })
  t.equal(code, 0)
  t.match(out, /^app:\n {2}name: shop +# env OTEL_SERVICE_NAME\n/)
  t.notMatch(out, /s3cr3t/)
})

t.test('nothing heavy is loaded for help, version, and a check without a file', async t => {
  const loaded = `data:text/javascript,${encodeURIComponent(`
    import { registerHooks } from 'node:module'
    registerHooks({ resolve(name, context, next) {
      const found = next(name, context)
      if (/node_modules\\/(yaml|express|pidusage|@opentelemetry\\/sdk)/.test(found.url)) process.stderr.write('loaded ' + found.url)
      return found
    } })`)}`
  for (const args of [['help'], ['version'], ['check'], ['schema'], ['metrics']])
    t.match(await pillion(args, {}, ['--import', loaded]), { code: 0, err: '' }, args.join())
  const withFile = await pillion(['check', '--config', '/dev/null'], {}, ['--import', loaded])
  t.match(withFile.err, /loaded .*\/yaml\//, 'the hook would have seen it')
})

t.test('healthcheck asks the sidecar whether it is ready', async t => {
  let status = 200
  const server = createServer((request, response) => {
    t.equal(request.url, '/-/ready')
    if (status) response.writeHead(status).end('not ready: no application\nmore')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  const url = `http://127.0.0.1:${port}/-/ready`
  const f = async (host: string, ready: boolean, text: string) =>
    t.same(await askReady({ listen: { host, port }, config: { file: undefined } }), { ready, text })
  await f('127.0.0.1', true, `${url}: 200 not ready: no application`)
  await f('::', true, `${url}: 200 not ready: no application`)
  status = 503
  await f('0.0.0.0', false, `${url}: 503 not ready: no application`)
  status = 0
  await f('127.0.0.1', false, `cannot ask ${url}: no answer in 2 s`)
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
  await f('127.0.0.1', false, `cannot ask ${url}: connect ECONNREFUSED 127.0.0.1:${port}`)
  t.match(await pillion(['healthcheck', `--web.listen=127.0.0.1:${port}`]), {
    code: 1,
    out: '',
    err: `pillion: not ready: cannot ask ${url}: connect ECONNREFUSED`,
  })
  t.same(await askReady({ listen: undefined, config: { file: undefined } }), {
    ready: false,
    text: 'cannot ask: web.listen is off; give it an address',
  })
  t.match(await askReady({ listen: { host: '127.0.0.1', port: 0 }, config: { file: undefined } }), {
    ready: false,
    text: /port 0/,
  })
})

t.test('a Node with known holes is refused', async t => {
  const f = (node: string, refused: boolean) => t.equal(unfit(node) !== undefined, refused, node)
  f('20.20.2', true)
  f('24.12.0', true)
  f('24.18.0', true)
  f('24.18.1', false)
  f('24.21.0', false)
  f('25.0.0', false)
  f('26.10.0-rc.1', false)
  f('nonsense', true)
  t.equal(
    unfit('20.20.2'),
    'cannot run on Node 20.20.2: 24.18.1 is the oldest that is safe; install it, or put `npx --package node@24 --` in front',
  )
})

t.test('closing the pipe early is no failure', async t => {
  const child = spawn(process.execPath, [MAIN, 'metrics', '--json'], { stdio: ['ignore', 'pipe', 'pipe'] })
  child.stdout.destroy()
  let err = ''
  child.stderr.on('data', text => {
    err += text
  })
  t.same([...(await once(child, 'close')), err], [0, null, ''])
})
