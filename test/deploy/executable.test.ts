// The single executable on a host that has no Node: a root file system of the executable, a shell, `sleep` and the libraries
// that these are linked with.

import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
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
import { Child, freePort, until } from '../e2e/child.ts'
import { missing } from '../e2e/programs.ts'
import { sum } from '../e2e/ride.ts'
import { hex, ld } from '../otlp/requests.ts'

const BUILD = fileURLToPath(new URL('../../scripts/executable.ts', import.meta.url))
const NAME = `pillion-${process.platform}-${process.arch}`

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
  for (const folder of ['bin', 'etc', 'proc', 'tmp']) mkdirSync(join(root, folder))
  copyFileSync(join(made, NAME), join(root, 'bin/pillion'))
  for (const program of ['sh', 'sleep']) copyFileSync(`/bin/${program}`, join(root, 'bin', program))
  for (const program of readdirSync(join(root, 'bin'))) libraries(join(root, 'bin', program))
})

/** Copies what a program is linked with to where it looks for it. */
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
    'mount --rbind /proc "$0/proc" && exec env --ignore-environment PATH=/bin:/usr/bin:/sbin:/usr/sbin chroot "$0" /bin/pillion "$@"'
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
    const ask = async (password?: string) => {
      const headers: Record<string, string> = password ? { authorization: `Basic ${btoa(`alice:${password}`)}` } : {}
      return (await fetch(`http://127.0.0.1:${web}/metrics`, { headers })).status
    }
    await until('the web door', async () => (await ask()) === 401 || undefined)
    t.equal(await ask('sesame'), 200)
    t.equal(await ask('guess'), 401)
    t.equal(await ask('sesame'), 200)
    t.same(await child.stop(), { code: 0, signal: null }, 'and the spans of the probes are sent at the end')
    t.ok(spans > 0)
    t.notMatch(child.stderr, /error/i)
  },
)
