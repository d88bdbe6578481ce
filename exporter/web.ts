// The web server: /metrics for Prometheus, /-/… for orchestrators, the page and /api/status for people, and the routes that
// the parts contribute. It knows no part: what it shows comes through `WebHost`.

import type { Host } from '../telemetry/host.ts'
import type { Part } from '../telemetry/part.ts'
import type { Bundle } from './web/bundle.ts'
import type { WebHost, WebRunning } from './web/host.ts'
import { LIMITS } from './web/limits.ts'
import { options, type WebOptions } from './web/options.ts'
import { certificateExpiry, configReloaded, refusedRequests } from './web/refusals.ts'
import { serve } from './web/server.ts'

export type { Dashboard, WebHost, WebRunning } from './web/host.ts'
export { Html, html } from './web/html.ts'
export type { WebOptions } from './web/options.ts'
export { certificateExpiry, configReloaded, refusedRequests } from './web/refusals.ts'

/** Connections that the web server holds where nothing limits it further. */
export const WEB_CONNECTIONS = LIMITS.connections

export const web = {
  name: 'web',
  about: 'The web server: /metrics for Prometheus, health of the sidecar, a page and a JSON status for people.',
  families: [refusedRequests, configReloaded, certificateExpiry],
  options,
  off: ({ listen }) => listen === undefined,
  /** Throws an Error that names port and option when it cannot listen; its cause carries the system's code (EADDRINUSE). */
  start(options: WebOptions, host: WebHost): Promise<WebRunning> {
    return serve(options, host)
  },
  /** The scripts of the page as files for the browser, and where the program looks for them; needs esbuild. */
  async bundle(): Promise<{ readonly folder: string; readonly bundle: Bundle }> {
    const [{ FOLDER }, { bundle }] = await Promise.all([import('./web/assets.ts'), import('./web/bundle.ts')])
    return { folder: FOLDER, bundle: await bundle() }
  },
  /** Whether the server of these options speaks TLS; throws when the web configuration cannot be read. */
  async secure({ config }: Pick<WebOptions, 'config'>): Promise<boolean> {
    if (config.file === undefined) return false
    return (await (await import('./web/config.ts')).readConfig(config.file)).tls !== undefined
  },
} as const satisfies Part<WebOptions, Host & WebHost> & { bundle: unknown; secure: unknown }
