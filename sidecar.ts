// One running sidecar: what the options describe is started in order, answers at its doors, and is drained at the end.

import { isatty } from 'node:tty'
import type { Application, Finding, Host, Running } from './collectors/collector.ts'
import { health, healthUp, openProbeSpans } from './collectors/health.ts'
import { logs } from './collectors/logs.ts'
import { metrics as pointCollector } from './collectors/metrics.ts'
import { otlp } from './collectors/otlp.ts'
import { process as processCollector } from './collectors/process.ts'
import { self } from './collectors/self.ts'
import { spans } from './collectors/spans.ts'
import { Metrics, Scrape } from './exporter/metrics.ts'
import { shownCommand, shownUrl, WEB_CONNECTIONS, web } from './exporter/web.ts'
import { clock } from './host/clock.ts'
import { type Connections, connectionsWithin, openFilesLimit } from './host/descriptors.ts'
import { Logfmt, stderr } from './host/log.ts'
import type { Reading } from './options/read.ts'
import type { Options } from './parts.ts'
import { banner } from './sidecar/banner.ts'
import { Reload } from './sidecar/reload.ts'
import { status, totals } from './sidecar/status.ts'
import { watchFile } from './sidecar/watch.ts'
import { applicationEnvironment, serviceName } from './supervise/environment.ts'
import { gone } from './supervise/gone.ts'
import { orphansWarning } from './supervise/init.ts'
import type { Stop } from './supervise/stop.ts'
import { supervise } from './supervise.ts'
import { ownVersion } from './version.ts'

/** The outside world, which tests replace. */
export type World = Pick<Host, 'proc' | 'clock' | 'log'> & {
  /** Told when the level of the log changes. */
  onLevel?(level: Options['log']['level']): void
}

/** Where the options come from, when they can be read again. */
export interface Source {
  /** The configuration file, to be watched; undefined if there was none. */
  readonly file: string | undefined
  read(): Promise<Reading<Options>>
}

export interface Sidecar extends AsyncDisposable {
  readonly app: Application
  readonly metrics: Metrics
  readonly scrape: Scrape
  /** Base URLs of the doors that listen, with their real ports. */
  readonly doors: Doors
  findings(): readonly (Finding & { readonly part: string })[]
  /** Takes the configuration anew; rejects with what is wrong with it, and it stays as it was. `why` is for the log. */
  reload(why: string): Promise<void>
  /** Counts an error that nothing caught. */
  uncaught(): void
}

interface Doors {
  readonly web: string | undefined
  readonly http: string | undefined
  readonly grpc: string | undefined
}

/** The page shows what has been brought up to date until then. */
const STATUS_MS = 1000
/** The longest that a stop may take: in the worst case Kubernetes leaves a native sidecar 2 s (KEP-753). */
const DRAIN_MS = 1500
const NOW = new AbortController().signal
/** The banner waits this long at most for the application to be found and asked for the first time. */
const FIRST_LOOK_MS = 3000

/**
 * Rides along until the application ends (with a command) or until a signal asks to stop. Resolves with the exit code;
 * rejects if something cannot start, a taken port for instance.
 */
export async function ride(
  options: Options,
  stop: Stop,
  command?: readonly string[],
  source?: Source,
): Promise<number> {
  const write = stderr()
  const log = new Logfmt(options.log.level, clock, write)
  let reload = (): void => {}
  // Attached, it is ours, and must not end us while we start; with a command it becomes the application's.
  if (!command) process.on('SIGHUP', () => reload())
  const world: World = {
    proc: '/proc',
    clock,
    log,
    onLevel(level) {
      log.level = level
    },
  }
  await using sidecar = await startSidecar(options, world, command, source)
  // What is wrong is logged.
  reload = () => void sidecar.reload('SIGHUP').catch(() => {})
  const { app, doors } = sidecar
  const ended = new AbortController()
  const orphans = command && orphansWarning(process.pid)
  const announce = async (diverted?: string): Promise<void> => {
    await firstLook(sidecar, ended.signal)
    const findings = [
      ...sidecar.findings(),
      ...(diverted ? [{ part: 'otlp', level: 'warning' as const, text: diverted }] : []),
      ...(orphans ? [{ part: 'process', level: 'warning' as const, text: orphans }] : []),
    ]
    const about = { version: ownVersion(), web: doors.web, otlp: endpoints(doors), findings }
    const application = {
      command: command && [shownCommand(command)],
      url: app.url === undefined ? undefined : shownUrl(app.url),
      pid: app.pid,
      port: app.port,
    }
    write(`${banner({ ...about, application }, isatty(2)).join('\n')}\n`)
  }
  if (!command) {
    process.on('uncaughtException', error => {
      sidecar.uncaught()
      log.error('error in the sidecar, which goes on', { error })
    })
    void announce()
    const stopped = new Promise<string>(resolve => stop.answer(resolve))
    const lonely = alone(app, options.app.exit_after_gone, ended.signal)
    log.info('stopping', { because: await Promise.race([stopped, lonely]) })
    ended.abort()
    return 0
  }
  const { env, diverted } = applicationEnvironment(process.env, doors, serviceName(command, options.app.name))
  stop.release()
  const code = await supervise(command, {
    env,
    log,
    onUncaught: () => sidecar.uncaught(),
    onStart(pid) {
      app.child = pid
      void announce(diverted)
    },
  })
  ended.abort()
  return code
}

/** Resolves with what to say when the application has gone for good, if that is to be the end of the sidecar. */
async function alone(app: Application, afterMs: number, ended: AbortSignal): Promise<string> {
  if (afterMs > 0 && (await gone(app, afterMs, clock, ended))) return 'the application has gone'
  return await new Promise(() => {})
}

/** Waits until the application has been found and has answered a probe, but not for long. */
async function firstLook({ app, metrics }: Sidecar, ended: AbortSignal): Promise<void> {
  const begun = clock.monotonic()
  const known = async (): Promise<boolean> => {
    const health = await metrics.registry.getSingleMetric(healthUp.name)?.get()
    return app.pid !== undefined && (health === undefined || health.values.length > 0)
  }
  try {
    while (!(await known()) && clock.monotonic() - begun < FIRST_LOOK_MS) await clock.sleep(50, ended)
  } catch {
    // The application ended first; what is known then is said all the same.
  }
}

function endpoints({ http, grpc }: Doors): { protocol: string; url: string }[] {
  return [
    ...(http === undefined ? [] : [{ protocol: 'OTLP/HTTP', url: http }]),
    ...(grpc === undefined ? [] : [{ protocol: 'OTLP/gRPC', url: grpc }]),
  ]
}

/** Starts everything that the options describe; if one part cannot start, what was started before it is stopped again. */
export async function startSidecar(
  options: Options,
  world: World,
  command?: readonly string[],
  source?: Source,
): Promise<Sidecar> {
  const begun = world.clock.monotonic()
  const version = ownVersion()
  const metrics = new Metrics()
  const app = application(options)
  const host: Host = { ...world, metrics, app }
  await using opened = new AsyncDisposableStack()
  const parts: Part[] = []
  const held = connections(options, world)
  const add = <R extends Running>(name: string, running: R): R => {
    opened.use(running)
    parts.push({ name, running })
    return running
  }

  const own = add('self', self.start(options.self, host, { version }))
  add('process', await processCollector.start(options.process, host))
  // Before the probes, so that the spans of the last one are flushed after it has ended.
  const upstream = options.self.traces
  const recorded =
    upstream === undefined ? {} : { spans: opened.use(await openProbeSpans({ endpoint: upstream, version })) }
  const probes = add('health', await health.start(options.health, host, { version, ...recorded }))
  // Consumers before the doors: what is closed first is what was opened last.
  const requests = add('spans', spans.start(options.spans, host))
  const points = options.metrics.enabled ? [add('metrics', pointCollector.start(options.metrics, host))] : []
  const records = options.logs.enabled ? [add('logs', logs.start(options.logs, host))] : []
  const intake = add(
    'otlp',
    await otlp.start(withConnections(options.otlp, held), host, { spans: [requests], metrics: points, logs: records }),
  )

  const scrape = new Scrape(
    metrics,
    parts.map(({ name, running }) => ({ name, collect: signal => running.collect?.(signal) })),
    (message, fields) => world.log.warn(message, fields),
  )
  const reload = new Reload(
    options,
    source ? () => source.read() : async () => ({ ok: true, values: options, origins: new Map(), warnings: [] }),
    async next => {
      const probe = probes.prepare(next.health)
      return [await door.prepare(next.web), probe, () => world.onLevel?.(next.log.level)]
    },
    host,
  )
  const findings = [
    ...parts.map(({ name, running }) => ({ name, findings: () => running.findings?.() ?? [] })),
    { name: 'config', findings: () => reload.findings() },
  ]
  const door = opened.use(
    await web.start(options.web, {
      connections: held.web,
      scrape: (accept, signal) => scrape.scrape(accept, signal),
      status: async () => {
        await scrape.gather(AbortSignal.timeout(STATUS_MS))
        return status({
          version,
          uptimeSeconds: Math.round((world.clock.monotonic() - begun) / 1000),
          name: options.app.name ?? (command && serviceName(command)),
          command,
          app,
          metrics,
          parts: findings.map(part => ({ name: part.name, findings: part.findings() })),
        })
      },
      dashboards: async () => (await import('./dashboards/print.ts')).bundled(),
      ready: () => ({ ready: true }),
      reload: () => reload.now('POST /-/reload'),
      log: world.log,
      clock: world.clock,
      metrics,
    }),
  )
  const closing = opened.adopt(new AbortController(), controller => controller.abort())
  if (source?.file !== undefined)
    void watchFile(source.file, world.clock, closing.signal, () =>
      // What is wrong is logged.
      reload.now('the file has changed').catch(() => {}),
    )
  const stack = opened.move()
  return {
    app,
    metrics,
    scrape,
    doors: { web: base(door.address()), http: base(intake.address().http), grpc: base(intake.address().grpc) },
    findings: () => findings.flatMap(part => part.findings().map(finding => ({ ...finding, part: part.name }))),
    reload: why => reload.now(why),
    uncaught: () => own.uncaught(),
    async [Symbol.asyncDispose]() {
      const { promise: late, resolve } = Promise.withResolvers<void>()
      const timer = setTimeout(resolve, DRAIN_MS)
      await Promise.race([stack.disposeAsync(), late])
      clearTimeout(timer)
      await intake.collect?.(NOW)
      world.log.info('stopped', await totals(metrics))
    },
  }
}

/** What the doors may hold; where that is less than they want for lack of descriptors, the operator is told. */
function connections({ otlp }: Options, { proc, log }: World): Connections {
  const wanted = { web: WEB_CONNECTIONS, http: otlp.http.max_connections, grpc: otlp.grpc.max_connections }
  const files = openFilesLimit(proc)
  const held = connectionsWithin(files, wanted)
  if (held !== wanted) {
    const doors = `${held.web} connections of the web door, ${held.http} of OTLP/HTTP and ${held.grpc} of OTLP/gRPC`
    log.warn(`may open only ${files} files, so holds no more than ${doors}; raise it with ulimit -n or LimitNOFILE=`)
  }
  return held
}

function withConnections(otlp: Options['otlp'], { http, grpc }: Connections): Options['otlp'] {
  return {
    ...otlp,
    http: { ...otlp.http, max_connections: http },
    grpc: { ...otlp.grpc, max_connections: grpc },
  }
}

interface Part {
  readonly name: string
  readonly running: Running
}

function application({ app }: Options): Application {
  const { url, pid, pid_file, cgroup, match, port } = app
  return { url, select: { pid, pid_file, cgroup, match, port }, child: undefined, pid: undefined, port: undefined }
}

/** The address as others on this host reach it. */
function base(
  address: { readonly host: string; readonly port: number; readonly secure?: boolean } | undefined,
): string | undefined {
  if (!address) return undefined
  const host = { '::': '127.0.0.1', '0.0.0.0': '127.0.0.1' }[address.host] ?? address.host
  return `${address.secure ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${address.port}`
}
