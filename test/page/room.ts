// The views of traces, logs and the map in a real Chromium, over the real parts behind the real web server.

import { existsSync } from 'node:fs'
import { type Browser, chromium, type Page } from 'playwright-core'
import type { Test } from 'tap'
import { traces } from '../../exporter/traces.ts'
import { clock } from '../../host/clock.ts'
import { SpanVisitor } from '../../otlp/visit.ts'
import { logs } from '../../processors/logs.ts'
import { spans } from '../../processors/spans.ts'
import { Keys } from '../../telemetry/keys.ts'
import type { Route } from '../../telemetry/route.ts'
import { decoder } from '../otlp/protobufjs.ts'
import { attributes, type Message } from '../points/otlp.ts'
import { DEFAULTS } from '../spans/room.ts'
import { encode, hex } from '../traces/room.ts'
import { openServer } from '../web/open.ts'
import { world } from '../world.ts'

export const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(path =>
  existsSync(path),
)
/** For tests that need it. */
export const skip = CHROMIUM === undefined ? 'needs Chromium: apt-get install chromium' : false

export interface Call {
  readonly service: string
  readonly name: string
  readonly trace?: string
  readonly span: string
  readonly parent?: string
  /** Milliseconds after the start of the room, and how long. */
  readonly at?: number
  readonly ms?: number
  readonly kind?: number
  readonly error?: string
  readonly attributes?: Readonly<Record<string, unknown>>
  readonly events?: readonly Message[]
  readonly links?: readonly Message[]
}

export interface LogLine {
  readonly service?: string
  readonly body: string
  readonly severity?: number
  readonly at?: number
  readonly trace?: string
  readonly span?: string
}

export interface Room {
  readonly url: string
  readonly page: Page
  /** Milliseconds since the epoch: what `at` counts from. */
  readonly start: number
  send(...calls: readonly Call[]): void
  raw(bytes: Buffer): void
  log(...lines: readonly LogLine[]): void
  /** Opens a view, and waits until it is drawn. */
  go(hash: string, wait?: string): Promise<void>
  /** Waits until an expression is true in the page, whose policy forbids what waitForFunction does. */
  until(expression: string): Promise<void>
  /** Events that must not happen: errors, violations of the policy, requests elsewhere. */
  faults(): Promise<readonly string[]>
}

let shared: Promise<Browser> | undefined

export interface Given {
  readonly routes?: readonly Route[]
  readonly viewport?: { readonly width: number; readonly height: number }
  readonly colorScheme?: 'light' | 'dark'
  readonly keep?: number
}

const LogsRequest = decoder('logs')

/** A page that looks at new parts. Its browser is closed with the test that opened it first. */
export async function openRoom(t: Test, given: Given = {}): Promise<Room> {
  const host = { ...world('/proc'), clock: clock as never }
  const keys = new Keys()
  const kept = traces.start({ keep: given.keep ?? 32 * 2 ** 20, query: { timeout: 5000 } }, host)
  const counted = spans.start({ ...DEFAULTS, graph: { ...DEFAULTS.graph, wait: 50 } }, { ...host, keys })
  const inherited = { stdout: 'inherit', stderr: 'inherit', capture_dir: undefined, capture_limit: 0 } as const
  const logged = logs.start({ enabled: true, keep: 1 << 20, limit: 500, ...inherited }, host)
  const visitor = new SpanVisitor(keys, [...(kept.consumes?.spans ?? []), counted])
  const routes = [
    ...(kept.routes ?? []),
    ...(counted.routes ?? []),
    ...(logged.routes ?? []),
    ...(given.routes ?? BESIDE),
  ]
  const { port } = await openServer(t, {
    host: { routes: () => routes, metrics: host.metrics, receiver: () => 'http://127.0.0.1:4318' },
  })
  t.teardown(() => kept[Symbol.asyncDispose]())
  const url = `http://127.0.0.1:${port}`
  const start = Date.now() - 60_000
  shared ??= launch(t)
  const browser = await shared
  const context = await browser.newContext({
    viewport: given.viewport ?? { width: 1440, height: 900 },
    colorScheme: given.colorScheme ?? 'light',
    acceptDownloads: true,
  })
  t.teardown(() => context.close())
  const page = await context.newPage()
  page.setDefaultTimeout(60_000)
  const faults = watch(page, url)
  const raw = (bytes: Buffer): void => {
    if (!visitor.walk.run(bytes, 1e6)) throw new Error('cannot walk what the test sends')
    visitor.show({ signal: 'traces', bytes, items: visitor.walk.items, received: Date.now() })
    for (const { error } of visitor.failed) throw error
  }
  const nanos = (ms: number): string => String(BigInt(start) * 1_000_000n + BigInt(Math.round(ms * 1e6)))
  return {
    url,
    page,
    start,
    raw,
    send: (...calls) => raw(encode(...resourceSpans(calls, nanos))),
    log(...lines) {
      for (const { service = 'shop', body, severity = 9, at = 0, trace, span } of lines) {
        const record = {
          severityNumber: severity,
          timeUnixNano: nanos(at),
          body: { stringValue: body },
          ...(trace && { traceId: hex(trace, 16) }),
          ...(span && { spanId: hex(span, 8) }),
        }
        const resource = { attributes: attributes({ 'service.name': service }) }
        const request = { resourceLogs: [{ resource, scopeLogs: [{ logRecords: [record] }] }] }
        const bytes = Buffer.from(LogsRequest.encode(LogsRequest.fromObject(request)).finish())
        logged.take({ signal: 'logs', bytes, items: 1, received: Date.now() })
      }
    },
    async go(hash, wait = 'h1') {
      await page.goto(`${url}/${hash}`)
      await page.waitForSelector(`main ${wait}`)
    },
    async until(expression) {
      for (const end = Date.now() + 60_000; !(await page.evaluate(expression)); ) {
        if (Date.now() > end) throw new Error(`still not true: ${expression}`)
        await page.waitForTimeout(30)
      }
    },
    faults,
  }
}

/** The answer of other parts about the time of a trace: nothing was kept. */
const BESIDE: readonly Route[] = [
  json('/api/moments', () => ({ from: 0, to: 0, step: 100, series: [], marks: [] })),
  json('/api/insight/', () => ({ spans: [] })),
]

export function json(path: string, value: (target: string) => unknown): Route {
  return {
    path,
    methods: ['GET'],
    access: 'operator',
    handle(request, response) {
      const text = JSON.stringify(value(request.target))
      response.writeHead(200, { 'Content-Type': 'application/json' }).end(text)
    },
  }
}

function resourceSpans(calls: readonly Call[], nanos: (ms: number) => string): Message[] {
  const services = new Map<string, Message[]>()
  for (const call of calls) {
    const list = services.get(call.service) ?? []
    services.set(call.service, list)
    const at = call.at ?? 0
    list.push({
      traceId: hex(call.trace ?? 'a1', 16),
      spanId: hex(call.span, 8),
      ...(call.parent !== undefined && { parentSpanId: hex(call.parent, 8) }),
      name: call.name,
      kind: call.kind ?? (call.parent === undefined ? 2 : 1),
      startTimeUnixNano: nanos(at),
      endTimeUnixNano: nanos(at + (call.ms ?? 1)),
      ...(call.error !== undefined && { status: { code: 2, message: call.error } }),
      attributes: attributes((call.attributes ?? {}) as never),
      events: (call.events ?? []).map(({ at: after = 0, ...event }) => ({
        ...event,
        timeUnixNano: nanos(at + Number(after)),
      })),
      links: call.links ?? [],
    })
  }
  return [...services].map(([service, spans]) => ({
    resource: { attributes: attributes({ 'service.name': service, 'host.name': 'box' }) },
    scopeSpans: [{ scope: { name: 'test', version: '1' }, spans }],
  }))
}

async function launch(t: Test): Promise<Browser> {
  const browser = await chromium.launch({
    executablePath: CHROMIUM!,
    headless: true,
    args: ['--no-sandbox', '--disable-dev-shm-usage'],
  })
  // The outermost test ends last.
  let outermost = t
  while (outermost.parent) outermost = outermost.parent as Test
  outermost.teardown(() => browser.close())
  return browser
}

/** Gathers what must not happen on a page. */
export function watch(page: Page, origin: string): () => Promise<readonly string[]> {
  const found: string[] = []
  page.on('console', message => {
    if (message.type() === 'error' || message.type() === 'warning') found.push(`console: ${message.text()}`)
  })
  page.on('pageerror', error => found.push(`error: ${error.message}`))
  page.on('request', request => {
    const url = request.url()
    if (!url.startsWith(`${origin}/`) && !url.startsWith('blob:') && !url.startsWith('data:'))
      found.push(`request: ${url}`)
  })
  // As text: it runs in the browser, whose types the tests do not have.
  void page.addInitScript(`
    globalThis.violations = []
    addEventListener('securitypolicyviolation', event =>
      violations.push('policy: ' + event.violatedDirective + ' ' + event.blockedURI))
  `)
  return async () => [...found, ...(await page.evaluate<string[]>('globalThis.violations ?? []'))]
}
