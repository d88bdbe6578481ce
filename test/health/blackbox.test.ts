// The same endpoints, probed by us and by Debian's prometheus-blackbox-exporter: success and phases agree.

import { spawn } from 'node:child_process'
import { accessSync, constants, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, get } from 'node:http'
import { createServer as createHttps } from 'node:https'
import { createServer as createRaw } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import t from 'tap'
import type { Phase } from '../../telemetry/client.ts'
import { ask, freePort, listen, until } from './machine.ts'
import { SHAPES, shapeServer } from './shapes.ts'

const PROGRAM = 'prometheus-blackbox-exporter'
const FIXTURES = join(import.meta.dirname, '../fixtures/health')
const CA = join(FIXTURES, 'cert.pem')

const MODULES = `modules:
  http:
    prober: http
    http: { preferred_ip_protocol: ip4, follow_redirects: false, tls_config: { ca_file: ${CA} } }
  needle:
    prober: http
    http: { preferred_ip_protocol: ip4, fail_if_body_not_matches_regexp: [needle] }
  health:
    prober: http
    http: { preferred_ip_protocol: ip4, fail_if_body_not_matches_regexp: [UP] }
  tcp:
    prober: tcp
    tcp: { preferred_ip_protocol: ip4 }
`

function installed(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some(dir => {
    try {
      accessSync(join(dir, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

function page(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, response => {
      let text = ''
      response.setEncoding('utf8').on('data', chunk => {
        text += chunk
      })
      response.on('end', () => resolve(text))
    }).on('error', reject)
  })
}

t.test(
  'blackbox_exporter finds the same',
  {
    skip: installed(PROGRAM) ? false : `needs ${PROGRAM}: apt-get install ${PROGRAM}`,
  },
  async t => {
    const dir = mkdtempSync(join(tmpdir(), 'pillion-'))
    t.teardown(() => rmSync(dir, { recursive: true }))
    writeFileSync(join(dir, 'blackbox.yml'), MODULES)
    const at = `127.0.0.1:${await freePort()}`
    const child = spawn(PROGRAM, [`--config.file=${dir}/blackbox.yml`, `--web.listen-address=${at}`], {
      stdio: 'ignore',
    })
    t.teardown(() => child.kill('SIGKILL'))
    await until(() => page(`http://${at}/-/healthy`).then(Boolean, () => false), 'blackbox_exporter answers')

    /** The numbers of one probe of theirs, by series. */
    async function theirs(module: string, target: string): Promise<Map<string, number>> {
      const text = await page(`http://${at}/probe?module=${module}&target=${encodeURIComponent(target)}`)
      const lines = text.split('\n').filter(line => line && !line.startsWith('#'))
      return new Map(
        lines.map(line => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
      )
    }

    const server = createServer((request, response) => {
      if (request.url === '/slow') {
        setTimeout(() => {
          response.write('half')
          setTimeout(() => response.end('whole'), 200)
        }, 300)
      } else response.writeHead(Number(request.url?.slice(1)) || 200, { location: '/elsewhere' }).end('fine')
    })
    const url = `http://127.0.0.1:${await listen(server)}`
    const [key, cert] = [readFileSync(join(FIXTURES, 'key.pem')), readFileSync(CA)]
    const secure = createHttps({ key, cert }, (_, response) => response.end('fine'))
    const secureUrl = `https://localhost:${await listen(secure)}`
    const silent = createRaw(socket => socket.on('error', () => {}))
    const silentPort = await listen(silent)
    t.teardown(() => {
      for (const each of [server, secure]) each.closeAllConnections()
      for (const each of [server, secure, silent]) each.close()
    })

    t.test('success and status', async t => {
      const f = async (path: string, status: number) => {
        const ours = await ask({ url: url + path, status: ['200-299'] }, 10_000)
        const other = await theirs('http', url + path)
        t.equal(Number(ours.ok), other.get('probe_success'), path)
        t.equal(ours.status, other.get('probe_http_status_code'))
        t.equal(ours.status, status)
      }
      await f('/', 200)
      await f('/204', 204)
      await f('/302', 302)
      await f('/404', 404)
      await f('/503', 503)
    })

    t.test('responses that are spelled in odd ways', async t => {
      const odd = shapeServer()
      const oddUrl = `http://127.0.0.1:${await listen(odd)}`
      t.teardown(() => odd.close())
      for (const [place, [name, { status, body }]] of Object.entries(SHAPES).entries()) {
        const url = `${oddUrl}/${place}`
        t.equal((await theirs('http', url)).get('probe_success'), Number(status), name)
        t.equal((await theirs('health', url)).get('probe_success'), Number(body), `${name}: its body`)
      }
    })

    t.test('a body without what is looked for, a closed port, a port', async t => {
      const needle = await ask({ url, body_matches: 'needle' }, 10_000)
      t.equal(Number(needle.ok), (await theirs('needle', url)).get('probe_success'))
      const closed = `127.0.0.1:${await freePort()}`
      const f = async (address: string, success: number) => {
        t.equal(Number((await ask({ kind: 'tcp', address }, 10_000)).ok), success)
        t.equal((await theirs('tcp', address)).get('probe_success'), success)
      }
      await f(closed, 0)
      await f(`127.0.0.1:${silentPort}`, 1)
    })

    t.test('time is booked to the same phases', async t => {
      const ours = await ask({ url: `${url}/slow` }, 10_000)
      const other = await theirs('http', `${url}/slow`)
      t.equal(ours.ok, true)
      // The difference that a loaded machine may make between two programs.
      const near = (phase: Phase, expected: number) => {
        const [mine, yours] = [ours.phases[phase], other.get(`probe_http_duration_seconds{phase="${phase}"}`) ?? -1]
        const line = `${phase}: ours ${mine.toFixed(4)}, theirs ${yours.toFixed(4)}`
        t.comment(line)
        for (const each of [mine, yours]) t.ok(each >= expected - 0.005 && each < expected + 0.15, line)
      }
      near('resolve', 0)
      near('connect', 0)
      near('processing', 0.3)
      near('transfer', 0.2)
    })

    t.test('the certificate expires at the same time', async t => {
      const ours = await ask({ url: secureUrl, tls_ca_file: CA }, 10_000)
      const other = await theirs('http', secureUrl)
      t.equal(other.get('probe_success'), 1)
      t.equal(ours.ok, true)
      t.equal(ours.notAfter, other.get('probe_ssl_earliest_cert_expiry'))
      t.ok(ours.phases.tls > 0 && (other.get('probe_http_duration_seconds{phase="tls"}') ?? 0) > 0)
    })
  },
)
