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

/**
 * A command as it may be shown: the program and the plain words after it ("node server.js", "java"). From the first
 * option on, or the first word that is more than a name, arguments may hold secrets and are left out.
 */
export function shownCommand([program = '', ...args]: readonly string[]): string {
  const secret = args.findIndex(word => !/^\w[\w./-]{0,63}$/.test(word))
  const shown = [program, ...(secret < 0 ? args : args.slice(0, secret)).slice(0, 3)]
  return shown.length > args.length ? shown.join(' ') : `${shown.join(' ')} …`
}
