// One running sidecar, put together: the parts that the options ask for, the scrape, the status, the reload of the
// configuration, and what each of them needs of the others.

import type { FilesHost, Skipped } from './collectors/files.ts'
import type { HealthHost } from './collectors/health.ts'
import { budgetOf } from './collectors/memory.ts'
import type { OtlpHost } from './collectors/otlp.ts'
import { ownMemoryLimit } from './collectors/process.ts'
import type { SelfHost } from './collectors/self.ts'
import type { TapHost } from './collectors/tap.ts'
import type { FlightHost } from './exporter/flight.ts'
import { adoptedFrom, type ForwardHost, type ForwardRunning } from './exporter/forward.ts'
import { Scrape } from './exporter/prometheus.ts'
import type { PushHost } from './exporter/push.ts'
import { WEB_CONNECTIONS, type WebHost } from './exporter/web.ts'
import { type Connections, connectionsWithin, openFilesLimit } from './host/descriptors.ts'
import { letHeapGrow } from './host/heap.ts'
import { optimizeUnderLoad } from './host/optimize.ts'
import { Metrics } from './metrics/registry.ts'
import type { Reading } from './options/read.ts'
import { list, type Options, type Started, settings } from './parts.ts'
import type { BlameHost } from './processors/blame.ts'
import type { PathHost } from './processors/path.ts'
import { counted, type SpansHost } from './processors/spans.ts'
import { Trees } from './processors/trees.ts'
import { OwnTracer } from './sidecar/own-tracer.ts'
import { Reload } from './sidecar/reload.ts'
import { type PartFinding, StartedParts } from './sidecar/started.ts'
import { status, totals } from './sidecar/status.ts'
import { watchFile } from './sidecar/watch.ts'
import { serviceName } from './supervise/name.ts'
import { ExemplarChoice } from './telemetry/exemplar.ts'
import { Hops } from './telemetry/hops.ts'
import type { Application, Host } from './telemetry/host.ts'
import type { IntakeHost } from './telemetry/intake.ts'
import { Memory } from './telemetry/memory.ts'
import type { MomentsHost } from './telemetry/moment.ts'
import { SeenAnswers, type SeenHost } from './telemetry/seen.ts'
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
  /** Path of each option → where its value comes from, "default" among it. */
  readonly origins: ReadonlyMap<string, string>
  read(): Promise<Reading<Options>>
}

export interface Sidecar extends AsyncDisposable {
  readonly app: Application
  readonly metrics: Metrics
  readonly scrape: Scrape
  /** Base URLs of the listeners that are open, with their real ports. */
  readonly listeners: Listeners
  /** The forwarded signals, and where they go: a line for each upstream; undefined if forwarding is off. */
  readonly forwards: readonly string[] | undefined
  findings(): readonly PartFinding[]
  /** Takes the configuration anew; rejects with what is wrong with it, and it stays as it was. `why` is for the log. */
  reload(why: string): Promise<void>
  /**
   * The application has ended, or the sidecar is about to: what would be lost otherwise is sent, while everything still runs.
   * Takes some seconds at most, and never rejects.
   */
  finish(): Promise<void>
  /** The spans that have come in so far and those of them with an error, for the log; nothing if none came. */
  seen(): Promise<{ readonly spans?: number; readonly errors?: number }>
  /** The position up to which a captured file was read; Infinity if nobody reads it. */
  capturedUpTo(path: string): number
  /** Text before this offset of a captured file will not be there any more; undefined if it was read that far. */
  skipCaptured(path: string, offset: number): Skipped | undefined
  /** A captured file was truncated. */
  restartCaptured(path: string): void
  /** Counts an error that nothing caught. */
  uncaught(): void
}

export interface Listeners {
  readonly web: string | undefined
  readonly http: string | undefined
  readonly grpc: string | undefined
}

/** The page shows what has been brought up to date until then. */
const STATUS_MS = 1000
/** The longest that the last push may take: the application has ended, and whoever started it waits. */
const FINISH_MS = 5000
/** The longest that a stop may take: in the worst case Kubernetes leaves a native sidecar 2 s (KEP-753). */
const DRAIN_MS = 1500
const NOW = new AbortController().signal

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
  const held = connections(options, world)
  await using opened = new AsyncDisposableStack()
  const traces = options.self.enabled === false ? 'false' : options.self.traces
  const tracer = opened.use(new OwnTracer())
  // Opened before the probes and closed after them, so that the span of the last one is sent too.
  if (traces !== 'false' && traces !== 'true') await tracer.open(traces, version)
  const parts = opened.use(new StartedParts())
  /** Typed by the list: the part of this name is what its own `start` has returned. */
  const started = <Name extends keyof typeof list>(name: Name): Started<Name> | undefined =>
    parts.all.find(part => part.name === name)?.running as Started<Name> | undefined

  const scrape = new Scrape(metrics, parts.all, (message, fields) => world.log.warn(message, fields), tracer)
  const reload = new Reload(
    options,
    source ? () => source.read() : async () => ({ ok: true, values: options, origins: new Map(), warnings: [] }),
    async next => [...(await parts.prepare(next)), () => world.onLevel?.(next.log.level)],
    { ...world, metrics, tracer, origins: source?.origins },
  )
  const up = Promise.withResolvers<void>()
  const service = options.app.name ?? (command && serviceName(command))
  const exemplars = new ExemplarChoice()
  let trees: Trees | undefined
  const host: Host &
    WebHost &
    OtlpHost &
    SpansHost &
    HealthHost &
    SelfHost &
    PushHost &
    IntakeHost &
    ForwardHost &
    FilesHost &
    SeenHost &
    TapHost &
    PathHost &
    BlameHost &
    FlightHost &
    MomentsHost = {
    ...world,
    metrics,
    memory: new Memory(budgetOf(options.memory, ownMemoryLimit(world.proc))),
    app,
    version,
    service,
    tracer,
    keys: parts.consumers.keys,
    exemplars,
    seen: new SeenAnswers(world.clock),
    moments: () => started('moments')?.moments,
    recall: (recall, signal) => parts.recall(recall, signal),
    consumers: parts.consumers,
    hops: new Hops(world.clock),
    adopted: adoptedFrom(source?.origins) !== undefined,
    trees: () => (trees ??= new Trees(host)),
    listening: () => {
      const { http, grpc } = started('otlp')?.address() ?? {}
      return [http, grpc, started('web')?.address()].filter(each => each !== undefined)
    },
    async sampler(options, around) {
      const { openSampler } = await import('./processors/sampling.ts')
      const troubled = (from: number, to: number) => started('blame')?.troubled(from, to) ?? false
      return openSampler(options, { ...host, exemplars, troubled }, around)
    },
    intake() {
      const otlp = started('otlp')
      if (otlp) return otlp.intake
      throw new Error('cannot take telemetry: no part has declared that it feeds the intake')
    },
    onLargeBody: letHeapGrow,
    connections: held.web,
    routes: () => parts.routes,
    scrape: (accept, signal, ms) => scrape.stream(accept, signal, ms),
    page: (accept, signal, ms) => scrape.alone(accept, signal, ms),
    gather: signal => scrape.gather(signal),
    receiver: () => base(started('otlp')?.address()?.http),
    ends: () => started('process')?.ends?.(),
    episodes: () => started('blame')?.episodes(),
    configuration: async () => (await import('./options/print.ts')).printConfig(settings, reload.taken),
    status: async () => {
      await scrape.gather(AbortSignal.timeout(STATUS_MS))
      return status({
        version,
        uptimeSeconds: Math.round((world.clock.monotonic() - begun) / 1000),
        name: service,
        command,
        app,
        otlp: started('otlp'),
        subjects: [
          ...parts.all.map(part => ({
            name: part.name,
            failed: scrape.failed(part.name),
            findings: part.findings(),
            facts: () => part.running.facts?.() ?? [],
          })),
          { name: 'config', failed: false, findings: reload.findings(), facts: () => [] },
        ],
      })
    },
    dashboards: async () => (await import('./dashboards/print.ts')).bundled(),
    unready: () => parts.unready,
    // The web server answers before the other parts have started; a part that starts later would miss a reload.
    reload: () => up.promise.then(() => reload.now('POST /-/reload')),
  }
  await parts.start(list, { ...options, otlp: withConnections(options.otlp, held) }, host)
  await started('forward')?.refuseOwn()
  up.resolve()

  const closing = opened.adopt(new AbortController(), controller => controller.abort())
  if (source?.file !== undefined)
    void watchFile(source.file, world.clock, closing.signal, still =>
      // A reload logs its own errors.
      reload.now('the file has changed', still).catch(() => {}),
    )
  const [otlp, web] = [started('otlp'), started('web')]
  const addresses = otlp?.address()
  const forwards = started('forward')?.targets
  const receiver = base(addresses?.http)
  if (traces === 'true') {
    if (receiver === undefined) world.log.warn('cannot record spans of the sidecar: self.traces needs otlp.http.listen')
    else await tracer.open(receiver, version)
  }
  opened.use(optimizeUnderLoad())
  const stack = opened.move()
  return {
    app,
    metrics,
    scrape,
    listeners: { web: base(web?.address()), http: receiver, grpc: base(addresses?.grpc) },
    forwards: forwards && roads(forwards, adoptedFrom(source?.origins)),
    findings: () =>
      [...parts.all, { name: 'config', findings: () => reload.findings() }].flatMap(part =>
        part.findings().map(finding => ({ ...finding, part: part.name })),
      ),
    reload: why => reload.now(why),
    async finish() {
      const ended = new AbortController()
      const timer = setTimeout(() => ended.abort(new Error('the time for the last push is over')), FINISH_MS)
      const late = new Promise<void>(resolve => ended.signal.addEventListener('abort', () => setTimeout(resolve, 100)))
      const finished = parts.finish(ended.signal, (part, error) => world.log.error('cannot finish', { part, error }))
      await Promise.race([finished, late])
      clearTimeout(timer)
    },
    async seen() {
      const { spans, errors } = await counted(metrics)
      return spans > 0 ? { spans, errors } : {}
    },
    capturedUpTo(path) {
      const files = started('files')
      return files ? (files.offset(path) ?? 0) : Number.POSITIVE_INFINITY
    },
    skipCaptured: (path, offset) => started('files')?.passOver(path, offset),
    restartCaptured: path => started('files')?.restart(path),
    uncaught: () => started('self')?.uncaught(),
    async [Symbol.asyncDispose]() {
      const { promise: late, resolve } = Promise.withResolvers<void>()
      const timer = setTimeout(resolve, DRAIN_MS + (forwards ? options.forward.drain : 0))
      // Its own receiver must still listen when the sidecar sends its last spans.
      const end = traces === 'true' ? tracer[Symbol.asyncDispose]() : Promise.resolve()
      await Promise.race([end.then(() => stack.disposeAsync()), late])
      clearTimeout(timer)
      await otlp?.collect?.(NOW)
      world.log.info('stopped', await totals(otlp))
    },
  }
}

/** The connections that the listeners may hold; if they want more than there are descriptors, the operator is told. */
function connections({ otlp }: Options, { proc, log }: World): Connections {
  const wanted = { web: WEB_CONNECTIONS, http: otlp.http.max_connections, grpc: otlp.grpc.max_connections }
  const files = openFilesLimit(proc)
  const held = connectionsWithin(files, wanted)
  if (held !== wanted) {
    const most = `${held.web} connections of the web server, ${held.http} of OTLP/HTTP and ${held.grpc} of OTLP/gRPC`
    log.warn(`may open only ${files} files, so holds no more than ${most}; raise it with ulimit -n or LimitNOFILE=`)
  }
  return held
}

/** "traces, metrics, logs to http://collector:4318 (by OTEL_EXPORTER_OTLP_ENDPOINT)", a line for each upstream. */
function roads(targets: ForwardRunning['targets'], variable: string | undefined): readonly string[] {
  const by = variable === undefined ? '' : ` (by ${variable})`
  return [...Map.groupBy(targets, ({ upstream }) => upstream)].map(([, all]) => {
    const origins = [...new Set(all.map(({ url }) => URL.parse(url)?.origin))].join(', ')
    return `${all.map(({ signal }) => signal).join(', ')} to ${origins}${by}`
  })
}

function withConnections(otlp: Options['otlp'], { http, grpc }: Connections): Options['otlp'] {
  return {
    ...otlp,
    http: { ...otlp.http, max_connections: http },
    grpc: { ...otlp.grpc, max_connections: grpc },
  }
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
