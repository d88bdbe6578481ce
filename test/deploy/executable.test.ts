// The single executable on a host that has no Node: a root file system of the executable, a shell, `sleep` and the libraries
// that these are linked with.

import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import bcrypt from 'bcryptjs'
import t from 'tap'
import { helperName } from '../../own/program.ts'
import { Child, freePort, until } from '../e2e/child.ts'
import { missing } from '../e2e/programs.ts'
import { sum } from '../e2e/ride.ts'
import { hex, ld } from '../otlp/requests.ts'
import { compiledHelper, nursery, witnesses } from '../process/witnessed.ts'

const BUILD = fileURLToPath(new URL('../../scripts/executable.ts', import.meta.url))
const NAME = `pillion-${process.platform}-${process.arch}`
const HELPER = helperName('exit-status')

const skip =
  process.getuid?.() === 0
    ? missing('unshare', 'util-linux') || missing('ldd', 'libc-bin') || missing('chroot', 'coreutils')
    : 'needs root, for chroot'

const root = mkdtempSync(join(tmpdir(), 'pillion-no-node-'))
t.teardown(() => rmSync(root, { recursive: true, force: true }))

t.before(async () => {
  if (skip) return
  const made = join(root, 'made')
  await using build = await Child.start(process.execPath, [BUILD, '--out', made])
  const { code } = await build.ended
  if (code !== 0) throw new Error(`cannot build:\n${build.stdout}${build.stderr}`)
  t.comment(build.stdout.trim())
  for (const folder of ['bin', 'dev', 'etc', 'proc', 'tmp']) mkdirSync(join(root, folder))
  writeFileSync(join(root, 'dev/null'), '')
  copyFileSync(join(made, NAME), join(root, 'bin/pillion'))
  if (existsSync(join(made, HELPER))) copyFileSync(join(made, HELPER), join(root, 'bin', HELPER))
  for (const program of ['sh', 'sleep']) copyFileSync(`/bin/${program}`, join(root, 'bin', program))
  for (const program of ['pillion', 'sh', 'sleep']) libraries(join(root, 'bin', program))
})

/** Copies the libraries of a program to the paths where it looks for them. */
function libraries(program: string): void {
  const list = execFileSync('ldd', [program], { encoding: 'utf8' })
  for (const [path] of list.matchAll(/\/\S+(?= \()/g)) {
    mkdirSync(join(root, dirname(path)), { recursive: true })
    copyFileSync(path, join(root, path))
  }
}

/** Starts it in its root with an empty environment; it has the pid of the child, and the network of this host. */
async function start(...args: string[]): Promise<Child> {
  const enter =
    'mount --rbind /proc "$0/proc" && mount --bind /dev/null "$0/dev/null" && exec env --ignore-environment PATH=/bin:/usr/bin:/sbin:/usr/sbin chroot "$0" /bin/pillion "$@"'
  return await Child.start('unshare', ['--mount', 'sh', '-c', enter, root, ...args])
}

async function run(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  await using child = await start(...args)
  const { code } = await child.ended
  return { code, stdout: child.stdout, stderr: child.stderr }
}

t.test(
  'there is no Node in its root; it is one, and brings the version, the dashboards and the rules',
  { skip },
  async t => {
    const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).map(path => basename(path))
    t.same(
      files.filter(name => /^node|\.[cm]?js$/.test(name)),
      [],
    )
    t.ok(statSync(join(root, 'made', `${NAME}.licenses.txt`)).size > 10_000)
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
    t.same(await run('version'), { code: 0, stdout: `pillion ${version}\n`, stderr: '' })
    t.match(await run('check', '--health.probes.0.url', 'nonsense'), { code: 64, stderr: /--health\.probes\.0\.url/ })
    t.match(await run('dashboards', '--out', '/boards'), { code: 0, stderr: '' })
    const board = 'pillion-overview.json'
    t.equal(
      readFileSync(join(root, 'boards', board), 'utf8'),
      readFileSync(new URL(`../../dashboards/grafana/${board}`, import.meta.url), 'utf8'),
    )
    t.match(await run('rules', '--slo', 'availability=99.9'), { code: 0, stdout: /slo:/ })
  },
)

t.test(
  'it rides with an application: configured in YAML, scraped, sent spans, ended with its code',
  { skip },
  async t => {
    const [web, otlp] = [await freePort(), await freePort()]
    const config = `web: { listen: 127.0.0.1:${web} }\notlp: { http: { listen: 127.0.0.1:${otlp} }, grpc: { listen: 127.0.0.1:0 } }\n`
    writeFileSync(join(root, 'etc/pillion.yaml'), config)
    const application = 'while ! [ -e /tmp/end ]; do sleep 0.1; done; exit 5'
    await using child = await start('run', '--config', '/etc/pillion.yaml', '--', 'sh', '-c', application)
    const scrape = async () => await (await fetch(`http://127.0.0.1:${web}/metrics`)).text()
    await until('the application', async () => sum(await scrape(), 'app_process_up') === 1 || undefined)

    const span = ld(2, ld(1, hex('ab'.repeat(16))), ld(2, hex('cd'.repeat(8))), ld(5, 'GET /orders'))
    const body = new Uint8Array(ld(1, ld(2, span, span)))
    const headers = { 'content-type': 'application/x-protobuf' }
    t.equal((await fetch(`http://127.0.0.1:${otlp}/v1/traces`, { method: 'POST', headers, body })).status, 200)
    t.equal(sum(await scrape(), 'traces_spanmetrics_calls_total', { span_name: 'GET /orders' }), 2)
    // Large enough for the thread that reads such requests.
    const large = new Uint8Array(ld(1, ld(2, ...Array.from({ length: 20_000 }, () => span))))
    t.equal((await fetch(`http://127.0.0.1:${otlp}/v1/traces`, { method: 'POST', headers, body: large })).status, 200)
    t.equal(sum(await scrape(), 'traces_spanmetrics_calls_total', { span_name: 'GET /orders' }), 20_002)
    const page = await fetch(`http://127.0.0.1:${web}/`)
    t.match(await page.text(), /Pillion/)

    const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
    const mebibytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024
    t.comment(`RSS ${mebibytes('VmRSS').toFixed(1)} MiB, of it anonymous ${mebibytes('RssAnon').toFixed(1)}`)
    writeFileSync(join(root, 'tmp/end'), '')
    t.same(await child.ended, { code: 5, signal: null }, child.stderr)
    t.notMatch(child.stderr, /warning/i, 'not from Node either')
  },
)

t.test(
  'it has what is only loaded when asked for: the thread for passwords, and the SDK for its own spans',
  { skip },
  async t => {
    const [web, upstream] = [await freePort(), await freePort()]
    const hash = bcrypt.hashSync('sesame', 4)
    writeFileSync(join(root, 'etc/web.yml'), `basic_auth_users: { alice: '${hash}' }\n`)
    let spans = 0
    const receiver = createServer((request, response) => {
      if (request.url === '/v1/traces') spans++
      request.resume()
      response.end()
    }).listen(upstream, '127.0.0.1')
    t.teardown(() => receiver.close())
    await using child = await start(
      ...['--web.listen', `127.0.0.1:${web}`, '--web.config.file', '/etc/web.yml'],
      ...['--otlp.http.listen', 'off', '--otlp.grpc.listen', 'off'],
      ...['--self.traces', `http://127.0.0.1:${upstream}`, '--app.url', `http://127.0.0.1:${upstream}`],
    )
    const scrape = (password?: string) => {
      const headers: Record<string, string> = password ? { authorization: `Basic ${btoa(`alice:${password}`)}` } : {}
      return fetch(`http://127.0.0.1:${web}/metrics`, { headers })
    }
    const ask = async (password?: string) => (await scrape(password)).status
    await until('the web server', async () => (await ask()) === 401 || undefined)
    t.equal(await ask('sesame'), 200)
    t.equal(await ask('guess'), 401)
    t.equal(await ask('sesame'), 200)
    await until('a probe', async () => {
      const page = await (await scrape('sesame')).text()
      return /^app_health_probes_total\{.*\} [1-9]/m.test(page) || undefined
    })
    t.same(await child.stop(), { code: 0, signal: null }, 'and the spans of the probes are sent at the end')
    t.ok(spans > 0)
    t.notMatch(child.stderr, /error/i)
  },
)

t.test(
  'it finds the program beside it that learns how an application ended that something else started',
  { skip: skip || compiledHelper().skip },
  async t => {
    using parent = nursery()
    const pid = await parent.bear('sleep', '600')
    const web = await freePort()
    await using child = await start(
      ...['--app.pid', String(pid), '--web.listen', `127.0.0.1:${web}`],
      ...['--otlp.http.listen', 'off', '--otlp.grpc.listen', 'off'],
    )
    await until('its witness', () => witnesses(`/bin/${HELPER}`, pid).length > 0 || undefined)
    process.kill(pid, 'SIGKILL')
    const scrape = async () => await (await fetch(`http://127.0.0.1:${web}/metrics`)).text()
    await until('the reason', async () => {
      const killed = { reason: 'killed', evidence: 'status' }
      return sum(await scrape(), 'app_process_exits_total', killed) === 1 || undefined
    })
    t.notMatch(child.stderr, /exit status will not be known/)
  },
)
