// The status that the page and /api/status show: plain JSON, put together by the assembly. Its shape is public (docs/web.md).

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
  /** In the order to show them. */
  readonly parts: readonly PartStatus[]
  /** The items that came in and their outcome, one row for each signal. */
  readonly ledger: readonly LedgerRow[]
}

/** A part that runs: health, process, spans, … One that is switched off is not listed. */
export interface PartStatus {
  readonly name: string
  /** `failed`: the last scrape could not bring its numbers up to date. `warning`: one of the findings is a warning. */
  readonly state: 'ok' | 'warning' | 'failed'
  readonly facts: readonly Fact[]
  readonly findings: readonly { readonly level: 'info' | 'warning'; readonly text: string }[]
}

/** One thing that is known: a number, with its unit unless it counts things, or a word. */
export type Fact =
  | { readonly name: string; readonly value: number; readonly unit?: 'bytes' | 'seconds' | 'ratio' | 'cores' }
  | { readonly name: string; readonly value: string }

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

/**
 * A command as it may be shown: the program and the plain words after it ("node server.js", "java"). From the first
 * option on, or the first word that is more than a name, arguments may hold secrets and are left out.
 */
export function shownCommand([program = '', ...args]: readonly string[]): string {
  const secret = args.findIndex(word => !/^\w[\w./-]{0,63}$/.test(word))
  const shown = [program, ...(secret < 0 ? args : args.slice(0, secret)).slice(0, 3)]
  return shown.length > args.length ? shown.join(' ') : `${shown.join(' ')} …`
}
