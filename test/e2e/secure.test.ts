// A web configuration as other exporters have it: promtool accepts it, a real Prometheus scrapes with a client certificate,
// and the image's health check still works.

import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import t from 'tap'
import { Authority } from '../web/certificates.ts'
import { Child, freePort, until } from './child.ts'
import { missing } from './programs.ts'
import { MAIN, runSidecar } from './ride.ts'

async function secured(config: string, file: string): Promise<{ child: Child; port: number; flags: string[] }> {
  writeFileSync(file, config)
  const port = await freePort()
  const flags = ['--web.listen', `127.0.0.1:${port}`, '--web.config.file', file]
  const others = ['--otlp.http.listen', 'off', '--otlp.grpc.listen', 'off']
  const child = await Child.start(process.execPath, [MAIN, ...flags, ...others])
  return { child, port, flags }
}

t.test('Prometheus scrapes with a client certificate', { skip: missing('prometheus', 'prometheus') }, async t => {
  const dir = t.testdir({})
  const authority = new Authority(dir)
  const server = authority.sign('server', 'DNS:localhost,IP:127.0.0.1')
  const client = authority.sign('client', 'DNS:prometheus')
  const config = `
tls_server_config:
  cert_file: ${server.cert}
  key_file: ${server.key}
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ${authority.cert}
  min_version: TLS13
  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]
  prefer_server_cipher_suites: true
  curve_preferences: [CurveP256]
http_server_config:
  http2: true
  headers:
    X-Frame-Options: deny
    Strict-Transport-Security: max-age=300
`
  const { child, port } = await secured(config, `${dir}/web.yml`)
  await using _sidecar = child
  const promtool = spawnSync('promtool', ['check', 'web-config', `${dir}/web.yml`], { encoding: 'utf8' })
  t.equal(promtool.status, 0, promtool.stderr)
  await child.says(new RegExp(`https://127.0.0.1:${port}/metrics`))

  writeFileSync(
    `${dir}/prometheus.yml`,
    `scrape_configs:
  - job_name: pillion
    scrape_interval: 1s
    scheme: https
    tls_config: { ca_file: ${authority.cert}, cert_file: ${client.cert}, key_file: ${client.key} }
    static_configs: [{ targets: ['127.0.0.1:${port}'] }]
  - job_name: stranger
    scrape_interval: 1s
    scheme: https
    tls_config: { ca_file: ${authority.cert} }
    static_configs: [{ targets: ['127.0.0.1:${port}'] }]
`,
  )
  const own = await freePort()
  await using prometheus = await Child.start('prometheus', [
    `--config.file=${dir}/prometheus.yml`,
    `--storage.tsdb.path=${dir}/data`,
    `--web.listen-address=127.0.0.1:${own}`,
  ])
  await prometheus.says(/Server is ready/)
  // The first scrape of a machine that is busy may take longer than its second.
  const up = async (job: string, wanted: string): Promise<unknown> =>
    await until(`up of ${job}`, async () => {
      const response = await fetch(
        `http://127.0.0.1:${own}/api/v1/query?${new URLSearchParams({ query: `up{job="${job}"}` })}`,
      )
      // prometheus.io/docs/prometheus/latest/querying/api
      const { data } = (await response.json()) as { data: { result: { value: [number, string] }[] } }
      return data.result[0]?.value[1] === wanted ? wanted : undefined
    })
  t.equal(await up('pillion', '1'), '1')
  t.equal(await up('stranger', '0'), '0')
})

t.test('the health check speaks TLS when the web server does', async t => {
  const dir = t.testdir({})
  const { cert, key } = new Authority(dir).sign('server', 'DNS:elsewhere.example')
  const { child, flags } = await secured(
    `tls_server_config: { cert_file: ${cert}, key_file: ${key} }\n`,
    `${dir}/web.yml`,
  )
  await using _sidecar = child
  await child.says(/https:/)
  await using check = await runSidecar(['healthcheck', ...flags])
  t.equal((await check.ended).code, 0, check.stderr)
})

t.test('the health check shows a certificate where the web server asks for one', async t => {
  const dir = t.testdir({})
  const authority = new Authority(dir)
  const server = authority.sign('server', 'DNS:elsewhere.example')
  const client = authority.sign('client', 'DNS:probe')
  const config = `tls_server_config:
  cert_file: ${server.cert}
  key_file: ${server.key}
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ${authority.cert}
`
  const { child, flags } = await secured(config, `${dir}/web.yml`)
  await using _sidecar = child
  await child.says(/https:/)
  const f = async (more: string[], code: number, says: RegExp) => {
    await using check = await runSidecar(['healthcheck', ...flags, ...more])
    t.equal((await check.ended).code, code, check.stderr)
    t.match(check.stderr, says)
  }
  await f([], 1, /not ready: cannot ask https:/)
  await f(['--cert', client.cert, '--key', client.key], 0, /^$/)
  await f(['--cert', `${dir}/nothing`, '--key', client.key], 1, /nothing/)
})

t.test('a web configuration with a mistake ends the start and names the key', async t => {
  const { child } = await secured('tls_server_config: { cert: a, key: b, nonsense: 1 }\n', `${t.testdir({})}/web.yml`)
  await using _sidecar = child
  t.equal((await child.ended).code, 78)
  t.match(child.stderr, /^--web.config.file: .*web.yml: tls_server_config.nonsense is not supported/)
})
