// Where the application's metrics are: the URL that is configured, or /metrics at an address of the application.

import { readFile } from 'node:fs/promises'
import type { ClientTls, TcpEndpoint } from '../../telemetry/client.ts'
import type { Application } from '../../telemetry/host.ts'
import { shownUrl } from '../../telemetry/status.ts'
import { header, unbracketed } from '../health.ts'
import type { ScrapeOptions } from './options.ts'

export interface Target {
  readonly endpoint: TcpEndpoint
  readonly headers: Readonly<Record<string, string>>
  readonly path: string
  /** For people. */
  readonly shown: string
  /** It is known to have metrics; otherwise they are looked for. */
  readonly known: boolean
}

/** The configured target; undefined if it must be looked for. Rejects if the certificates cannot be read. */
export async function configured(options: ScrapeOptions): Promise<Target | undefined> {
  if (options.url === undefined) return undefined
  const headers = options.headers.map(line => header(line) ?? { name: '', value: '' })
  const ca = options.tls_ca_file === undefined ? undefined : await readFile(options.tls_ca_file, 'utf8')
  const target = targetOf(options.url, true, ({ serverName }) => ({
    verify: options.tls_verify,
    serverName: options.tls_server_name ?? serverName,
    ca,
  }))
  return {
    ...target,
    headers: { ...target.headers, ...Object.fromEntries(headers.map(({ name, value }) => [name, value])) },
  }
}

/** Where metrics are looked for, best first. Asked by every scrape, so it is kept as long as the application listens there. */
export class Guesses {
  #from: readonly (string | number | undefined)[] = []
  #made: readonly Target[] = []

  of(app: Application): readonly Target[] {
    const from = [app.url, app.port, app.select.port]
    if (from.some((each, i) => each !== this.#from[i])) this.#made = guesses(app)
    this.#from = from
    return this.#made
  }
}

function guesses({ url, port, select }: Application): readonly Target[] {
  const found = new Map<string, Target>()
  const add = (base: string): void => {
    const at = URL.parse('/metrics', base)
    if (at && (at.protocol === 'http:' || at.protocol === 'https:') && !at.username)
      found.set(at.href, targetOf(at.href, false))
  }
  if (url !== undefined) add(url)
  for (const each of [port, select.port]) if (each !== undefined) add(`http://127.0.0.1:${each}/`)
  return [...found.values()]
}

function targetOf(href: string, known: boolean, tls: (usual: ClientTls) => ClientTls = usual => usual): Target {
  const url = new URL(href)
  const host = unbracketed(url.hostname)
  const secure = url.protocol === 'https:'
  return {
    endpoint: {
      host,
      port: Number(url.port) || (secure ? 443 : 80),
      tls: secure ? tls({ verify: true, serverName: host, ca: undefined }) : undefined,
    },
    headers: { host: url.host },
    path: `${url.pathname}${url.search}`,
    shown: shownUrl(href),
    known,
  }
}
