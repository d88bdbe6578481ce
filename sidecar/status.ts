// The status for the page and /api/status, put together from the facts and findings of each part.

import type { OtlpRunning } from '../collectors/otlp.ts'
import type { Application } from '../telemetry/host.ts'
import type { Finding } from '../telemetry/part.ts'
import { type Fact, type PartStatus, type Status, shownCommand, shownUrl } from '../telemetry/status.ts'

/** A part as the page shows it, on a card. */
export interface Subject {
  readonly name: string
  /** Whether the last scrape could not bring its numbers up to date. */
  readonly failed: boolean
  readonly findings: readonly Finding[]
  facts(): readonly Fact[] | Promise<readonly Fact[]>
}

export interface Known {
  readonly version: string
  readonly uptimeSeconds: number
  readonly name: string | undefined
  readonly command: readonly string[] | undefined
  readonly app: Application
  readonly subjects: readonly Subject[]
  readonly otlp: OtlpRunning | undefined
}

export async function status(known: Known): Promise<Status> {
  const { app, command } = known
  return {
    version: known.version,
    uptimeSeconds: known.uptimeSeconds,
    application: {
      name: known.name,
      command: command && shownCommand(command),
      url: app.url === undefined ? undefined : shownUrl(app.url),
      pid: app.pid,
      port: app.port,
    },
    parts: await Promise.all(known.subjects.map(card)),
    ledger: (await known.otlp?.ledger()) ?? [],
  }
}

async function card({ name, failed, findings, facts }: Subject): Promise<PartStatus> {
  const state = failed ? 'failed' : findings.some(each => each.level === 'warning') ? 'warning' : 'ok'
  try {
    return { name, state, facts: await facts(), findings }
  } catch (error) {
    // A defect of one part; the others are shown all the same.
    const text = `its facts cannot be told: ${error instanceof Error ? error.message : error}`
    return { name, state: 'failed', facts: [], findings: [...findings, { level: 'warning', text }] }
  }
}

/**
 * The ledger as fields of the last line of the log: what came in after the last scrape would otherwise be known to nobody.
 * Signals of which nothing came are left out.
 */
export async function totals(otlp: OtlpRunning | undefined): Promise<Readonly<Record<string, number>>> {
  const rows = ((await otlp?.ledger()) ?? []).filter(row => row.received > 0)
  const fields = rows.flatMap(({ signal, received, accepted }) => [
    [`${signal}_accepted`, accepted] as const,
    [`${signal}_refused`, received - accepted] as const,
  ])
  return Object.fromEntries(fields)
}
