// One tap: the relay, what it counts, the spans that it sends, and the port where it tells of itself. It needs no sidecar.

import type { Listen } from '../../options/kinds.ts'
import { Routes } from '../../otlp/http-route.ts'
import type { Clock, Log } from '../../telemetry/host.ts'
import { Room } from './framing.ts'
import { add, type CLASSES, Numbers, SIZE_BUCKETS, WAIT_BUCKETS } from './numbers.ts'
import type { TapOptions } from './options.ts'
import { Relay } from './relay.ts'
import { Sender } from './send.ts'
import { FULL_BYTES, Spans } from './spans.ts'
import { serveStatus } from './status.ts'
import type { Exchange, Lost, Observer } from './watch.ts'

/** All that a tap needs to know. */
export interface TapSettings {
  readonly options: TapOptions
  readonly upstream: Listen
  readonly service: string
  readonly otlp: string
  readonly version: string
  readonly identity: string
}

export interface TapWorld {
  readonly clock: Clock
  readonly log: Log
  /** The number of files that this process may have open, if known. */
  readonly files: number | undefined
}

export interface RunningTap {
  readonly listen: Listen
  /** Takes no new connections, and resolves when those that are open have ended or their time is over. */
  end(): Promise<void>
}

/** The time that spans wait for others to be sent with them. */
const SEND_MS = 500
/** Requests that are open at the same time and are seen; each takes up to 2 KiB. */
const MOST_OPEN = 10_000
/** Memory for lines of heads that are not complete yet, of all connections together. */
const MOST_HELD = 16 * 1024 * 1024
/** The last spans are sent after the last connection has ended. */
const LAST_SPANS_MS = 1000
const STATUS_RETRY_MS = 5000
/** Open at rest, and for the status port and the receiver. */
const SPARE_FILES = 64

export async function openTap(settings: TapSettings, { clock, log, files }: TapWorld): Promise<RunningTap> {
  const { options, upstream } = settings
  const { listen, status } = options
  if (!listen || !status) throw new Error('cannot start the tap: tap.listen is off; give it an address')
  const numbers = new Numbers()
  const spans = new Spans(settings.service, new Routes(options.routes.filter(Boolean), options.route_limit))
  const sender = new Sender(settings.otlp, options.max_pending, numbers, clock)
  const collected = new Collected(numbers, spans, sender, clock)
  const fit = files === undefined ? Number.POSITIVE_INFINITY : Math.floor((files - SPARE_FILES) / 2)
  const maxConnections = Math.max(1, Math.min(options.max_connections, fit))
  if (maxConnections < options.max_connections)
    log.warn(
      `may open only ${files} files, so the tap holds no more than ${maxConnections} connections; raise it with ulimit -n or LimitNOFILE=`,
    )
  const relay = new Relay(
    {
      listen,
      upstream,
      maxConnections,
      connectTimeout: options.connect_timeout,
      halfClosedTimeout: options.half_closed_timeout,
      proxyProtocol: options.proxy_protocol,
      newIds: options.traceparent ? () => spans.newIds() : undefined,
    },
    numbers,
    collected,
    { maxHead: options.max_head, room: new Room(MOST_HELD) },
  )
  const port = await relay.listen().catch(error => {
    throw taken(error, listen, 'tap.listen')
  })
  const real = { host: listen.host, port }
  const server = serveStatus(() => {
    const { user, system } = process.cpuUsage()
    return {
      version: settings.version,
      pid: process.pid,
      identity: settings.identity,
      listen: real,
      open: relay.open,
      cpuSeconds: (user + system) / 1e6,
      residentBytes: process.memoryUsage.rss(),
      numbers,
    }
  })
  // Requests must pass even if their numbers cannot be kept.
  let ending = false
  server.on('error', error => {
    log.error('cannot open the status port of the tap', { port: status.port, error })
    setTimeout(() => ending || server.listen(status), STATUS_RETRY_MS).unref()
  })
  server.listen(status)
  log.info('the tap listens', {
    listen: `${real.host}:${real.port}`,
    upstream: `${upstream.host}:${upstream.port}`,
    status: `${status.host}:${status.port}`,
  })
  return {
    listen: real,
    async end() {
      ending = true
      // At once, as the relay's own port: the next tap may listen.
      server.close()
      // The sidecar that ends it still listens, and not for long.
      collected.flush()
      await relay.drain(options.drain)
      collected.flush()
      await sender.flush(LAST_SPANS_MS)
      sender[Symbol.dispose]()
    },
  }
}

/** Makes numbers and spans of the requests that are seen. */
class Collected implements Observer {
  readonly #numbers: Numbers
  readonly #spans: Spans
  readonly #sender: Sender
  readonly #clock: Clock
  #timer: NodeJS.Timeout | undefined
  /** When the steady clock was 0, as the wall clock has it. */
  #origin: number

  constructor(numbers: Numbers, spans: Spans, sender: Sender, clock: Clock) {
    this.#numbers = numbers
    this.#spans = spans
    this.#sender = sender
    this.#clock = clock
    this.#origin = clock.now() - clock.monotonic()
  }

  now(): number {
    return this.#clock.monotonic()
  }

  opened(): boolean {
    if (this.#numbers.inFlight >= MOST_OPEN) return false
    this.#numbers.inFlight++
    return true
  }

  closed(exchange: Exchange, lost: Lost | undefined): void {
    const numbers = this.#numbers
    numbers.inFlight--
    // Nobody knows how it will end.
    if (lost === 'tap') return
    if (lost === undefined) {
      numbers.requests[`${Math.floor(exchange.status / 100)}xx` as (typeof CLASSES)[number]]++
      add(numbers.requestSize, SIZE_BUCKETS, exchange.requestBytes)
      add(numbers.responseSize, SIZE_BUCKETS, exchange.responseBytes)
      // An answer may come before the end of its request.
      const waited = exchange.sent === 0 ? 0 : Math.max(0, exchange.answered - exchange.sent)
      add(numbers.wait, WAIT_BUCKETS, waited / 1000)
    } else numbers.unanswered[lost]++
    this.#spans.add(exchange, lost, this.#origin)
    if (this.#spans.bytes >= FULL_BYTES) this.flush()
    else this.#timer ??= setTimeout(() => this.flush(), SEND_MS).unref()
  }

  opaque(reason: keyof Numbers['opaque']): void {
    this.#numbers.opaque[reason]++
  }

  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const batch = this.#spans.take()
    if (batch) this.#sender.add(batch)
    // The wall clock may have been set.
    this.#origin = this.#clock.now() - this.#clock.monotonic()
  }
}

const WHY: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is taken; free it, or',
  EACCES: 'the port is not permitted;',
  EADDRNOTAVAIL: 'this machine has no such address;',
  ENOTFOUND: 'there is no such host;',
}

function taken(cause: unknown, { host, port }: Listen, option: string): Error {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  const why = WHY[code] ?? `${code};`
  return Object.assign(
    new Error(`cannot listen on ${host}:${port}: ${why} choose another with --${option}`, { cause }),
    {
      code,
    },
  )
}
