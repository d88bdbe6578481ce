// The story: an application in PHP that nobody can change, without an SDK, behind a tap. It gets what the Application and Requests
// dashboards and the alerts ask for.

import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { freePort } from '../e2e/child.ts'
import { startSidecar } from '../e2e/ride.ts'
import { ask, end, ports, tapAnswers, until } from './tapped.ts'

t.setTimeout(120_000)

const SCRIPT = `<?php
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path === '/fails') { http_response_code(503); echo 'no'; return; }
if (str_starts_with($path, '/nowhere')) { http_response_code(404); return; }
if ($path === '/slow') usleep(60000);
echo json_encode(['path' => $path, 'name' => $_POST['name'] ?? null]);
`

t.test(
  'an application in PHP without an SDK has request metrics, traces, readiness and its process on the page',
  { skip: ['/usr/bin/php'].some(existsSync) ? false : 'needs php: apt-get install php-cli' },
  async t => {
    const dir = mkdtempSync(join(tmpdir(), 'tap-php-'))
    t.teardown(() => rmSync(dir, { recursive: true, force: true }))
    mkdirSync(join(dir, 'www'))
    writeFileSync(join(dir, 'www/index.php'), SCRIPT)
    const [port, at] = [await freePort(), await ports()]
    const config = join(dir, 'pillion.yaml')
    writeFileSync(
      config,
      `app: { name: legacy, url: 'http://127.0.0.1:${port}' }
health: { probes: [{ name: seen, kind: passive, window: 10s, interval: 300ms }] }
tap: { listen: '127.0.0.1:${at.tap}', status: '127.0.0.1:${at.status}', routes: ['/users/{name}/orders'] }
`,
    )
    await using ride = await startSidecar({
      flags: ['--config', config],
      command: ['php', '-S', `127.0.0.1:${port}`, join(dir, 'www/index.php')],
    })
    t.teardown(() => end(at))
    await tapAnswers(at)
    await until('php', () => ask(at.tap, '/').then(({ status }) => status === 200 || undefined))
    for (let i = 0; i < 40; i++) {
      const path = i % 10 === 9 ? '/fails' : i % 10 === 8 ? `/nowhere/${i}` : `/users/name${i}/orders?token=secret`
      await ask(
        at.tap,
        path,
        i % 4 === 0
          ? { method: 'POST', body: 'name=a', headers: { 'content-type': 'application/x-www-form-urlencoded' } }
          : {},
      )
    }
    await ask(at.tap, '/slow')
    const calls = (labels: object) =>
      ride.value('traces_spanmetrics_calls_total', { service: 'legacy', span_kind: 'SPAN_KIND_SERVER', ...labels })
    await until('all requests', async () => (await calls({ span_name: 'GET /slow' })) === 1 || undefined)
    t.equal(await calls({ span_name: 'GET /users/{name}/orders', status_code: 'STATUS_CODE_UNSET' }), 24)
    t.equal(await calls({ span_name: 'POST /users/{name}/orders' }), 8)
    t.equal(await calls({ span_name: 'GET /fails', status_code: 'STATUS_CODE_ERROR' }), 4)
    t.ok((await ride.value('traces_spanmetrics_latency_sum', { span_name: 'GET /slow' }))! >= 0.06)
    await until(
      'a passive probe',
      async () => (await ride.value('app_health_up', { probe: 'seen' })) === 1 || undefined,
    )
    t.ok((await ride.value('app_process_resident_memory_bytes'))! > 1e6, 'its process is known')
    t.ok((await ride.value('app_tap_wait_seconds_count'))! >= 41)
    t.notMatch(await ride.scrape(), /secret/)
    const { traces } = (await (
      await fetch(`${ride.web}/tempo/api/search?q=${encodeURIComponent('{ name = "GET /fails" }')}`)
    ).json()) as {
      traces: { rootServiceName: string }[]
    }
    t.equal(traces.length, 4)
    t.match(traces[0], { rootServiceName: 'legacy' })
    const { parts } = (await (await fetch(`${ride.web}/api/status`)).json()) as {
      parts: { name: string; facts: { name: string }[] }[]
    }
    t.match(
      parts.find(({ name }) => name === 'tap')?.facts.map(({ name }) => name),
      ['listens at', 'connections', 'requests in flight', 'requests'],
    )
    await ride.child.stop()
    await until('the end of the tap', async () =>
      ask(at.tap, '/').then(
        () => undefined,
        () => true,
      ),
    )
  },
)
