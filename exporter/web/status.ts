// What the page and /api/status show: plain JSON, put together by the assembly. Its shape is public.

export interface Status {
  readonly version: string
  readonly uptimeSeconds: number
  readonly application: {
    readonly name?: string | undefined
    readonly command?: string | undefined
    readonly url?: string | undefined
    readonly pid?: number | undefined
    readonly port?: number | undefined
  }
  readonly parts: readonly Part[]
  /** What came in and what became of it, one row for each signal. */
  readonly ledger: readonly LedgerRow[]
}

/** A collector or an exporter: health, process, spans, … */
export interface Part {
  readonly name: string
  readonly about?: string | undefined
  readonly state: 'ok' | 'warning' | 'failed' | 'off'
  /** The few numbers a person wants first, in the order to show them; units belong to the value. */
  readonly facts?: readonly { readonly name: string; readonly value: string | number }[]
  readonly findings: readonly { readonly level: 'info' | 'warning'; readonly text: string }[]
}

export interface LedgerRow {
  readonly signal: string
  readonly received: number
  readonly accepted: number
  readonly refused: Readonly<Record<string, number>>
}

/** A URL as it may be shown: without user, password, query and fragment, which may hold secrets. */
export function shownUrl(url: string): string {
  const parsed = URL.parse(url)
  if (!parsed) return '[not a URL]'
  parsed.username = ''
  parsed.password = ''
  parsed.search = ''
  parsed.hash = ''
  return parsed.href
}
