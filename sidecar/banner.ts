// The first thing a person sees: where to look, what was found, and what is missing. Lines for stderr, as short as can be.

import { printable } from '../host/log.ts'
import type { PartFinding } from './started.ts'

export interface Surroundings {
  readonly version: string
  readonly application: {
    /** The command of `pillion run`; undefined when attached. */
    readonly command?: readonly string[] | undefined
    /** The service name that was chosen for it. */
    readonly service?: string | undefined
    /** Without credentials. */
    readonly url?: string | undefined
    readonly pid?: number | undefined
    readonly port?: number | undefined
  }
  /** Base URL of the web server; undefined if it is off. */
  readonly web?: string | undefined
  readonly otlp: readonly { readonly protocol: string; readonly url: string }[]
  /** The forwarded signals, and where they go: a line for each upstream. */
  readonly forwards?: readonly string[] | undefined
  readonly findings: readonly PartFinding[]
}

/** Lines without line ends; `color` for a terminal, plain text for everything else. */
export function banner(about: Surroundings, color = false): string[] {
  const ink = color ? INK : PLAIN
  const rows: Row[] = []
  const { service } = about.application
  if (service !== undefined) rows.push({ name: 'service', text: service })
  if (about.web !== undefined) {
    const base = about.web.replace(/\/$/, '')
    rows.push({ name: 'metrics', text: `${base}/metrics` }, { name: 'page', text: `${base}/` })
  }
  about.otlp.forEach(({ protocol, url }, i) => {
    rows.push({ name: i === 0 ? 'OTLP to' : '', text: url, aside: protocol.replace(/^OTLP\//, '') })
  })
  about.forwards?.forEach((text, i) => {
    rows.push({ name: i === 0 ? 'forward' : '', text })
  })
  return [title(about, ink), ...lines([...rows, ...found(about.findings)], ink)]
}

/** Findings made after the banner was written, in its form. */
export function findingLines(findings: readonly PartFinding[], color = false): string[] {
  return lines(found(findings), color ? INK : PLAIN)
}

function lines(rows: readonly Row[], ink: Ink): string[] {
  const width = Math.max(...rows.map(row => row.name.length), 0)
  return rows.map(row => line(row, width, ink))
}

function found(findings: readonly PartFinding[]): Row[] {
  return findings.map(({ part, text, level }, at) => ({
    // The part's name stands once, before its first finding.
    name: part === findings[at - 1]?.part ? '' : part,
    text,
    warning: level === 'warning',
  }))
}

interface Row {
  readonly name: string
  readonly text: string
  readonly aside?: string
  readonly warning?: boolean
}

type Ink = (style: 'bold' | 'dim' | 'yellow', text: string) => string

const PLAIN: Ink = (_, text) => text
const SGR = { bold: '1', dim: '2', yellow: '33' } as const
const INK: Ink = (style, text) => (text === '' ? '' : `\x1b[${SGR[style]}m${text}\x1b[0m`)

function title({ version, application }: Surroundings, ink: Ink): string {
  const { command, url, pid, port } = application
  const subject = command ? shortened(command.join(' ')) : url
  const known = [pid !== undefined && `pid ${pid}`, port !== undefined && `port ${port}`].filter(Boolean).join(', ')
  const rider = command ? 'rides with' : 'watches'
  const target = subject ?? (known ? 'the application' : undefined)
  const rest =
    target === undefined ? 'has no application yet' : `${rider} ${printable(target)}${known && ` (${known})`}`
  return `${ink('bold', 'pillion')} ${version} ${rest}`
}

function line({ name, text, aside, warning }: Row, width: number, ink: Ink): string {
  const mark = warning ? ink('yellow', '!') : ' '
  const tail = aside ? ` ${ink('dim', `(${printable(aside)})`)}` : ''
  return `${mark} ${ink('dim', printable(name).padEnd(width))}  ${printable(text)}${tail}`
}

function shortened(text: string): string {
  return text.length > 60 ? `${text.slice(0, 59)}…` : text
}
