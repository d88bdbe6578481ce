// The status of a tap: one JSON object over HTTP, for whoever asks its status port; and the asking.

import { createServer, type Server } from 'node:net'
import { request } from '../../client/http.ts'
import type { Listen } from '../../options/kinds.ts'
import type { Clock } from '../../telemetry/host.ts'
import type { Numbers } from './numbers.ts'

export interface TapStatus {
  readonly version: string
  readonly pid: number
  /** Its options, as far as they matter to a sidecar that finds it. */
  readonly identity: string
  readonly listen: Listen
  readonly open: number
  readonly cpuSeconds: number
  readonly residentBytes: number
  readonly numbers: Numbers
}

const LONGEST_REQUEST = 4096
const SLOWEST_MS = 2000
const MOST_ASKING = 16
const MAX_BODY = 64 * 1024

/** Answers each connection once. Answers hold no secrets, and no request can change anything. */
export function serveStatus(status: () => TapStatus): Server {
  const server = createServer(socket => {
    let received = 0
    socket.setTimeout(SLOWEST_MS, () => socket.destroy())
    socket.on('error', () => {})
    socket.on('data', bytes => {
      received += bytes.length
      if (received > LONGEST_REQUEST) {
        socket.destroy()
        return
      }
      if (!bytes.includes('\r\n\r\n')) return
      const body = JSON.stringify(status())
      const head = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n`
      socket.end(head + body)
    })
  })
  server.maxConnections = MOST_ASKING
  server.unref()
  return server
}

/** Asks a tap; undefined if none answers. */
export async function askStatus(
  { host, port }: Listen,
  signal: AbortSignal,
  clock: Clock,
): Promise<TapStatus | undefined> {
  const outcome = await request(
    {
      endpoint: { host, port, tls: undefined },
      method: 'GET',
      path: '/',
      headers: { host: `${host.includes(':') ? `[${host}]` : host}:${port}` },
      maxHead: LONGEST_REQUEST,
      maxBody: MAX_BODY,
    },
    signal,
    clock,
  )
  if (!outcome.ok || outcome.status !== 200 || !outcome.whole) return undefined
  try {
    const found: unknown = JSON.parse(outcome.body.toString())
    return isStatus(found) && isAddress(found.listen) ? found : undefined
  } catch {
    return undefined
  }
}

/** Whether it is the tap of somebody who listens there: two sidecars of one host may have the same tap.status. */
export function listensAt({ listen: { host, port } }: TapStatus, wanted: Listen | undefined): boolean {
  return wanted !== undefined && host === wanted.host && (port === wanted.port || wanted.port === 0)
}

function isAddress(listen: unknown): listen is Listen {
  const { host, port } = (listen ?? {}) as Partial<Record<keyof Listen, unknown>>
  return typeof host === 'string' && typeof port === 'number'
}

/** Another program may listen there. */
function isStatus(found: unknown): found is TapStatus {
  if (typeof found !== 'object' || found === null) return false
  const { pid, identity, numbers } = found as Partial<Record<keyof TapStatus, unknown>>
  const { inFlight, wait } = (numbers ?? {}) as Partial<Record<keyof Numbers, unknown>>
  const { open, cpuSeconds, residentBytes } = found as Partial<Record<keyof TapStatus, unknown>>
  return (
    Number.isSafeInteger(pid) &&
    typeof identity === 'string' &&
    typeof inFlight === 'number' &&
    onlyNumbers([numbers, open ?? 0, cpuSeconds ?? 0, residentBytes ?? 0]) &&
    Array.isArray((wait as { counts?: unknown } | undefined)?.counts)
  )
}

function onlyNumbers(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value)
  return typeof value === 'object' && value !== null && Object.values(value).every(onlyNumbers)
}
