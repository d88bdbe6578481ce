// Whom a span talks to, by its attributes: the name of the other node of an edge when that node sends no spans. What names
// the service comes before what names the machine, which comes before what names the kind of thing
// (opentelemetry.io/docs/specs/semconv; the old names of attributes stand beside the new ones).

import type { SpanConsumer, SpanView } from '../otlp.ts'

const SERVICE = ['peer.service']
const ADDRESS = ['server.address', 'net.peer.name', 'network.peer.address']
const DATABASE = ['db.namespace', 'db.name', 'db.system.name', 'db.system']
const BROKER = ['messaging.system']

export class Peers {
  readonly wants: SpanConsumer['wants'] = { span: [...SERVICE, ...ADDRESS, ...DATABASE, ...BROKER], resource: [] }
  #service: readonly number[] = []
  #address: readonly number[] = []
  #database: readonly number[] = []
  #broker: readonly number[] = []

  bound({ span }: { readonly span: readonly number[] }): void {
    const at = (keys: readonly string[]) => keys.map(key => span[this.wants.span.indexOf(key)]!)
    this.#service = at(SERVICE)
    this.#address = at(ADDRESS)
    this.#database = at(DATABASE)
    this.#broker = at(BROKER)
  }

  /** Whether the span is a query to a database. */
  database(view: SpanView): boolean {
    return first(view, this.#database) >= 0
  }

  /** Where the name of the called server stands among the span's attributes, or -1. */
  server(view: SpanView): number {
    const named = this.#named(view)
    return named >= 0 ? named : first(view, this.#database)
  }

  broker(view: SpanView): number {
    const service = first(view, this.#service)
    if (service >= 0) return service
    const broker = first(view, this.#broker)
    return broker >= 0 ? broker : first(view, this.#address)
  }

  /** A server span's attributes describe the server itself, so only one of them can tell who calls. */
  client(view: SpanView): number {
    return first(view, this.#service)
  }

  #named(view: SpanView): number {
    const service = first(view, this.#service)
    return service >= 0 ? service : first(view, this.#address)
  }
}

/** The first of some attributes that is there, and a text. */
function first(view: SpanView, positions: readonly number[]): number {
  const { type, start, end } = view.spanAttributes
  for (let i = 0; i < positions.length; i++) {
    const at = positions[i]!
    if (type[at] === 1 && end[at]! > start[at]!) return at
  }
  return -1
}
