// Beside an application in Kubernetes, in compose and under systemd: the namespaces, users and limits are those that deploy/
// asks for, made here without an engine. Everything runs from the files of the image.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { until } from '../e2e/child.ts'
import { sum } from '../e2e/ride.ts'
import { ld } from '../otlp/requests.ts'
import { Image, unbuilt } from './image.ts'
import { ROOT } from './judges.ts'
import { type Client, Pod, signal, status } from './pod.ts'

const skip = unbuilt()
const image = skip ? undefined : new Image()
t.teardown(() => image?.[Symbol.dispose]())

/** The user that deploy/ gives application and sidecar. */
const USER = '1001:1001'
const SERVER = `require('http').createServer((request, response) => response.end('ok')).listen(8080, '127.0.0.1')`
const server = () => image!.program(['node', '-e', SERVER], USER)

/** A page of /metrics on which these have these values. */
async function page(web: Client, wanted: Readonly<Record<string, number>>): Promise<string> {
  return await until(JSON.stringify(wanted), async () => {
    const { body } = await web.get('/metrics')
    return Object.entries(wanted).every(([name, value]) => sum(body, name) === value) ? body : undefined
  })
}

interface Manifest {
  readonly env: readonly { readonly name: string; readonly value: string }[]
  readonly startupProbe: { readonly httpGet: { readonly path: string } }
  readonly readinessProbe: { readonly httpGet: { readonly path: string } }
  readonly livenessProbe: { readonly httpGet: { readonly path: string } }
}

const manifest = (): Manifest =>
  parse(readFileSync(join(ROOT, 'deploy/kubernetes/deployment.yaml'), 'utf8')).spec.template.spec.initContainers[0]

t.test(
  'Kubernetes: it is ready before the application, then probes it and sees it and nobody else',
  { skip },
  async t => {
    await using pod = await Pod.kubernetes()
    const { env, startupProbe, readinessProbe, livenessProbe } = manifest()
    const container = image!.container([], USER)
    const given = Object.fromEntries(env.map(({ name, value }) => [name, value]))
    await pod.join({ ...container, env: { ...container.env, ...given } })
    const web = await pod.client(19464)
    for (const probe of [startupProbe, readinessProbe, livenessProbe])
      await until(probe.httpGet.path, async () => (await web.get(probe.httpGet.path)).status === 200 || undefined)
    await page(web, { app_process_up: 0 })

    const app = await pod.join(server())
    const seen = await page(web, { app_process_up: 1, app_health_up: 1 })
    t.equal(sum(seen, 'app_processes'), 1, 'not the pause container, not the sidecar')
    t.equal(
      sum(seen, 'app_process_open_fds'),
      readdirSync(`/proc/${app.pid}/fd`).length,
      'counted with no capability, as the same user',
    )
    t.ok(sum(seen, 'app_process_io_read_bytes_total') !== undefined)

    signal(app.pid, 'SIGKILL')
    await app.child.ended
    await page(web, { app_process_up: 0 })
    t.equal((await web.get(readinessProbe.httpGet.path)).status, 200, 'its readiness is its own')
    await pod.join(server())
    t.ok(await page(web, { app_process_up: 1, app_process_restarts_total: 1 }))
  },
)

t.test('Kubernetes: it takes the last spans of the application, and ends on its own SIGTERM', { skip }, async t => {
  await using pod = await Pod.kubernetes()
  const sidecar = await pod.join(image!.container(['--app.url', 'http://127.0.0.1:8080'], USER))
  const [web, otlp] = [await pod.client(19464), await pod.client(4318)]
  const app = await pod.join(server())
  await page(web, { app_process_up: 1 })
  signal(app.pid, 'SIGTERM')
  await app.child.ended
  const span = ld(2, ld(1, Buffer.alloc(16, 1)), ld(2, Buffer.alloc(8, 1)), ld(5, 'last'))
  t.equal((await otlp.post('/v1/traces', 'application/x-protobuf', ld(1, ld(2, span)))).status, 200)
  t.equal(sum((await web.get('/metrics')).body, 'traces_spanmetrics_calls_total', { span_name: 'last' }), 1)
  signal(sidecar.pid, 'SIGTERM')
  t.same(await sidecar.child.ended, { code: 0, signal: null })
})

t.test('compose: the application is PID 1, and when it ends the sidecar ends with its namespace', { skip }, async t => {
  await using pod = await Pod.compose(server())
  const sidecar = await pod.join(image!.container(['--app.url', 'http://127.0.0.1:8080'], USER))
  const web = await pod.client(19464)
  await page(web, { app_process_up: 1, app_health_up: 1 })
  await sidecar.child.says(/application found.* pid=1 /)
  signal(pod.first.pid, 'SIGKILL')
  t.ok(await sidecar.child.ended)
  t.notOk(existsSync(`/proc/${sidecar.pid}`))
})

t.test(
  'a sidecar of another user says what is hidden and how to show it, and leaves those numbers out',
  { skip },
  async t => {
    await using pod = await Pod.compose(server())
    const sidecar = await pod.join(image!.container(['--app.pid', '1', '--app.url', 'http://127.0.0.1:8080']))
    const web = await pod.client(19464)
    const seen = await page(web, { app_process_up: 1, app_health_up: 1 })
    // The number of descriptors is no sign: since Linux 6.2 everybody may know it.
    t.equal(sum(seen, 'app_process_io_read_bytes_total'), undefined)
    t.ok(sum(seen, 'app_process_cpu_seconds_total') !== undefined, 'numbers that everybody may read are there')
    await sidecar.child.says(/cannot read.*(UID|user)/i)
  },
)

t.test(
  'a sidecar that is told to ends with its application, once it is certain that it does not come back',
  { skip },
  async t => {
    await using pod = await Pod.kubernetes()
    const flags = ['--app.url', 'http://127.0.0.1:8080', '--app.exit_after_gone', '3s']
    const sidecar = await pod.join(image!.container(flags, USER))
    const web = await pod.client(19464)
    for (const restarts of [0, 1]) {
      const app = await pod.join(server())
      await page(web, { app_process_up: 1, app_process_restarts_total: restarts })
      signal(app.pid, 'SIGKILL')
      await app.child.ended
    }
    t.same(await sidecar.child.ended, { code: 0, signal: null })
    t.match(sidecar.child.stderr, /because="the application has gone"/)
  },
)

t.test(
  'run as PID 1: it warns that orphans stay as zombies, and its signals and exit code are those of the application',
  { skip },
  async t => {
    const command = ['sh', '-c', '(sleep 1 &); exec sleep 60']
    await using pod = await Pod.compose(image!.container(['run', '--', ...command], USER))
    await pod.first.child.says(/the sidecar is process 1 here.*--init/s)
    const zombies = () => readdirSync('/proc').filter(pid => zombieOf(pid, pod.first.pid)).length
    await until('the zombie', () => zombies() === 1 || undefined)
    signal(pod.first.pid, 'SIGTERM')
    t.same(await pod.first.child.ended, { code: 128 + 15, signal: null })
  },
)

t.test('run below an init: no warning and no zombie', { skip }, async t => {
  // As docker --init does with tini; a shell that waits clears orphans away as well.
  const init =
    'node /app/dist/main.js run -- sh -c "(sleep 0.2 &); while :; do sleep 0.1; done" & while :; do wait; done'
  await using pod = await Pod.compose(image!.program(['sh', '-c', init], USER))
  await pod.first.child.says(/pillion 0/)
  // The orphan comes and goes within this time. The shell that waits for it may need a moment where others run.
  await new Promise(resolve => setTimeout(resolve, 500))
  await until('no zombie', () => readdirSync('/proc').every(pid => !zombieOf(pid, pod.first.pid)) || undefined)
  t.notMatch(pod.first.child.stderr, /process 1 here/)
})

t.test(
  'systemd: beside a service of the same host it is found by its cgroup, as the unit does it',
  { skip },
  async t => {
    const tree = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified', '/sys/fs/cgroup/pids'].find(path =>
      existsSync(`${path}/cgroup.procs`),
    )
    if (!tree) throw new Error('cannot find a cgroup hierarchy below /sys/fs/cgroup')
    const name = `pillion-test-${process.pid}.service`
    mkdirSync(join(tree, 'system.slice', name), { recursive: true })
    t.teardown(() => rmdirSync(join(tree, 'system.slice', name)))
    await using pod = await Pod.kubernetes()
    const app = await pod.join(server())
    writeFileSync(join(tree, 'system.slice', name, 'cgroup.procs'), String(app.pid))
    const flags = [`--app.name=shop`, `--app.cgroup=/system.slice/${name}`]
    const sidecar = await pod.join(image!.container(flags, USER))
    const web = await pod.client(19464)
    const seen = await page(web, { app_process_up: 1 })
    // A probe may be open in one of the two looks, and closed in the other.
    const difference = (sum(seen, 'app_process_open_fds') ?? 0) - readdirSync(`/proc/${app.pid}/fd`).length
    t.ok(Math.abs(difference) <= 2, `${difference} open files more than are listed`)
    await sidecar.child.says(/application found.*found_by=cgroup/)
  },
)

/** Whether a process is dead and waits to be cleared away by `parent`; proc_pid_status(5). */
function zombieOf(pid: string, parent: number): boolean {
  if (!/^\d+$/.test(pid)) return false
  try {
    const text = status(Number(pid))
    return /^State:\tZ/m.test(text) && new RegExp(`^PPid:\t${parent}$`, 'm').test(text)
  } catch {
    return false
  }
}
