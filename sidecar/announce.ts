// The messages at the start: the banner before the application runs, and later the findings that need a running one.

import { isatty } from 'node:tty'
import { healthUp } from '../collectors/health.ts'
import { clock } from '../host/clock.ts'
import type { Write } from '../host/log.ts'
import type { Options } from '../parts.ts'
import type { Sidecar } from '../sidecar.ts'
import type { Finding } from '../telemetry/part.ts'
import { shownCommand, shownUrl } from '../telemetry/status.ts'
import { ownVersion } from '../version.ts'
import { banner, findingLines, type Surroundings } from './banner.ts'

/** The first look at the application is waited for this long at most before it is told of. */
const FIRST_LOOK_MS = 3000

export type Told = Finding & { readonly part: string }

export function warning(part: string, text: string): Told {
  return { part, level: 'warning', text }
}

/** Writes the banner, unless it is not wanted. */
export function announce(
  sidecar: Sidecar,
  { log }: Options,
  write: Write,
  findings: readonly Told[],
  command?: { readonly words: readonly string[]; readonly service: string },
): void {
  if (!log.quiet) write(text(banner(surroundings(sidecar, findings, command), isatty(2))))
}

/** Tells the findings that need a running application. */
export async function tellLater(sidecar: Sidecar, { log }: Options, write: Write, ended: AbortSignal): Promise<void> {
  await firstLook(sidecar, ended)
  const findings = sidecar.findings()
  if (log.quiet || ended.aborted || findings.length === 0) return
  write(text(findingLines(findings, isatty(2))))
}

/** Waits until the application has been found and has answered a probe, but not for long. */
export async function firstLook({ app, metrics }: Sidecar, ended: AbortSignal): Promise<void> {
  const begun = clock.monotonic()
  const known = async (): Promise<boolean> => {
    const health = await metrics.registry.getSingleMetric(healthUp.name)?.get()
    return app.pid !== undefined && (health === undefined || health.values.length > 0)
  }
  try {
    while (!(await known()) && clock.monotonic() - begun < FIRST_LOOK_MS) await clock.sleep(50, ended)
  } catch {
    // The application ended first.
  }
}

function surroundings(
  { app, listeners, forwards }: Sidecar,
  findings: readonly Told[],
  command: { readonly words: readonly string[]; readonly service: string } | undefined,
): Surroundings {
  const { web, http, grpc } = listeners
  return {
    version: ownVersion(),
    web,
    otlp: [
      ...(http === undefined ? [] : [{ protocol: 'OTLP/HTTP', url: http }]),
      ...(grpc === undefined ? [] : [{ protocol: 'OTLP/gRPC', url: grpc }]),
    ],
    forwards: forwards ?? [],
    findings,
    application: {
      command: command && [shownCommand(command.words)],
      service: command?.service,
      url: app.url === undefined ? undefined : shownUrl(app.url),
      pid: app.pid,
      port: app.port,
    },
  }
}

function text(lines: readonly string[]): string {
  return `${lines.join('\n')}\n`
}
