// The service graph as a picture: rates from two answers of /api/map, and a place for each node. A node that only calls
// stands on the left, one that sends spans here in the middle, one that is only called on the right. In the middle, a
// service stands to the right of those that call it.

export interface MapEdge {
  readonly client: string
  readonly server: string
  readonly type: string
  readonly requests: number
  readonly failed: number
  readonly seconds: number
  /** Requests in each bucket; the last one has no bound. */
  readonly buckets: readonly number[]
}

export interface MapAnswer {
  readonly now: number
  readonly enabled: boolean
  readonly bounds: readonly number[]
  readonly edges: readonly MapEdge[]
  readonly overflow: number
}

/** An edge with what happened on it in a stretch of time. */
export interface Flow {
  readonly client: string
  readonly server: string
  readonly type: string
  readonly requests: number
  /** A second; undefined while only one answer is known. */
  readonly rate: number | undefined
  /** From 0 to 1; undefined without a request. */
  readonly errors: number | undefined
  /** Seconds. */
  readonly p50: number | undefined
  readonly p95: number | undefined
}

/** Counts between two answers; without an earlier one, all since the start. */
export function flows(now: MapAnswer, before: MapAnswer | undefined): Flow[] {
  const known = new Map(before?.edges.map(each => [keyOf(each), each]))
  const seconds = before ? (now.now - before.now) / 1000 : 0
  return now.edges.map(edge => {
    const { client, server, type } = edge
    const old = known.get(keyOf(edge))
    // A counter that went back has begun anew.
    const earlier = old && old.requests <= edge.requests ? old : undefined
    const requests = edge.requests - (earlier?.requests ?? 0)
    const failed = edge.failed - (earlier?.failed ?? 0)
    const buckets = edge.buckets.map((count, i) => count - (earlier?.buckets[i] ?? 0))
    return {
      client,
      server,
      type,
      requests,
      rate: before && seconds > 0 ? requests / seconds : undefined,
      errors: requests > 0 ? failed / requests : undefined,
      p50: quantile(now.bounds, buckets, 0.5),
      p95: quantile(now.bounds, buckets, 0.95),
    }
  })
}

function keyOf({ client, server, type }: MapEdge): string {
  return JSON.stringify([client, server, type])
}

/** Interpolated inside its bucket, as Prometheus does it. */
export function quantile(bounds: readonly number[], buckets: readonly number[], q: number): number | undefined {
  const total = buckets.reduce((sum, each) => sum + each, 0)
  if (total <= 0) return undefined
  let wanted = q * total
  for (const [i, count] of buckets.entries()) {
    if (wanted > count) {
      wanted -= count
      continue
    }
    const low = i === 0 ? 0 : bounds[i - 1]!
    const high = bounds[i]
    return high === undefined ? low : low + ((high - low) * wanted) / count
  }
  return bounds.at(-1)
}

export interface Place {
  readonly name: string
  readonly kind: 'caller' | 'service' | 'called'
  /** As the type of its edges: database, messaging_system … */
  readonly type: string
  readonly column: number
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
  /** Requests a second that come in, and their share of errors. */
  readonly rate: number | undefined
  readonly requests: number
  readonly errors: number | undefined
}

export interface Drawn {
  readonly flow: Flow
  /** A path of SVG. */
  readonly d: string
  /** From 1 to 6. */
  readonly width: number
  readonly labelX: number
  readonly labelY: number
}

export interface Picture {
  readonly width: number
  readonly height: number
  readonly places: readonly Place[]
  readonly edges: readonly Drawn[]
  /** Nodes for which there was no room. */
  readonly leftOut: number
}

export const NODE_WIDTH = 190
export const NODE_HEIGHT = 52
const COLUMN = 400
/** Columns of services at most, but for one. */
const DEEPEST = 4
const ROW = 78
const MARGIN = 12
/** In each column. */
const MOST_NODES = 40
/** Types of edges to a node that sends no spans here. */
const OUTSIDE = new Set(['virtual_node', 'database', 'messaging_system'])

export function picture(all: readonly Flow[]): Picture {
  const nodes = new Map<string, { in: Flow[]; out: Flow[] }>()
  const node = (name: string) => {
    const known = nodes.get(name)
    if (known) return known
    const made = { in: [] as Flow[], out: [] as Flow[] }
    nodes.set(name, made)
    return made
  }
  for (const flow of all) {
    node(flow.client).out.push(flow)
    node(flow.server).in.push(flow)
  }
  const depths = depthsOf(nodes)
  const middle = Math.max(0, ...depths.values()) + 1
  const columns: Column[] = Array.from({ length: middle + 2 }, () => [])
  for (const [name, each] of nodes) {
    const kind = kindOf(name, each)
    const column = kind === 'caller' ? 0 : kind === 'called' ? middle + 1 : 1 + depths.get(name)!
    columns[column]!.push({ name, kind, ...each })
  }
  const weight = (each: Joined): number => [...each.in, ...each.out].reduce((sum, { requests }) => sum + requests, 0)
  for (const column of columns) column.sort((a, b) => weight(b) - weight(a) || (a.name < b.name ? -1 : 1))
  ordered(columns)
  const used = columns
    .map((column, i) => ({ column: column.slice(0, MOST_NODES), i }))
    .filter(({ column }) => column.length > 0)
  const rows = Math.max(1, ...used.map(({ column }) => column.length))
  const height = rows * ROW + 2 * MARGIN
  const places = new Map<string, Place>()
  for (const [at, { column, i }] of used.entries())
    for (const [row, each] of column.entries()) {
      const incoming = each.kind === 'caller' ? each.out : each.in
      const requests = incoming.reduce((sum, flow) => sum + flow.requests, 0)
      const failed = incoming.reduce((sum, flow) => sum + flow.requests * (flow.errors ?? 0), 0)
      const rates = incoming.map(({ rate }) => rate)
      places.set(each.name, {
        name: each.name,
        kind: each.kind,
        type: [...each.in, ...each.out].find(({ type }) => OUTSIDE.has(type))?.type ?? '',
        column: i,
        x: MARGIN + at * COLUMN,
        y: MARGIN + ((row + 0.5) * (height - 2 * MARGIN)) / column.length - NODE_HEIGHT / 2,
        width: NODE_WIDTH,
        height: NODE_HEIGHT,
        rate: rates.some(rate => rate !== undefined)
          ? rates.reduce<number>((sum, rate) => sum + (rate ?? 0), 0)
          : undefined,
        requests,
        errors: requests > 0 ? failed / requests : undefined,
      })
    }
  const most = Math.max(1, ...all.map(({ requests }) => requests))
  const edges: Drawn[] = []
  for (const flow of all) {
    const [from, to] = [places.get(flow.client), places.get(flow.server)]
    if (from && to) edges.push({ flow, width: 1 + 5 * Math.sqrt(flow.requests / most), ...line(from, to) })
  }
  return {
    width:
      2 * MARGIN +
      (used.length - 1) * COLUMN +
      NODE_WIDTH +
      (edges.some(({ flow }) => sameColumn(places, flow)) ? 60 : 0),
    height,
    places: [...places.values()],
    edges,
    leftOut: nodes.size - places.size,
  }
}

interface Joined {
  readonly in: Flow[]
  readonly out: Flow[]
}

type Column = (Joined & { readonly name: string; readonly kind: Place['kind'] })[]

/** A client that begins traces without sending spans is called "user" by the service graph. */
function kindOf(name: string, { in: incoming, out }: Joined): Place['kind'] {
  if (name === 'user' && incoming.length === 0) return 'caller'
  if (incoming.length === 0) return 'service'
  return out.length === 0 && incoming.every(({ type, client }) => OUTSIDE.has(type) && client !== 'user')
    ? 'called'
    : 'service'
}

/** The services of the middle before each service, counted on the shortest way from outside. */
function depthsOf(nodes: ReadonlyMap<string, Joined>): Map<string, number> {
  const services = [...nodes].filter(([name, each]) => kindOf(name, each) === 'service')
  const names = new Set(services.map(([name]) => name))
  const depths = new Map<string, number>()
  let layer = services
    .filter(([name, each]) => !each.in.some(({ client }) => names.has(client) && client !== name))
    .map(([name]) => name)
  // Services that all call each other: the one that calls most is the first.
  if (layer.length === 0) layer = services.slice(0, 1).map(([name]) => name)
  for (let depth = 0; names.size > depths.size; depth++) {
    for (const name of layer) depths.set(name, Math.min(depth, DEEPEST))
    layer = [...new Set(layer.flatMap(name => nodes.get(name)!.out.map(({ server }) => server)))].filter(
      name => names.has(name) && !depths.has(name),
    )
    // A node that no way leads to begins anew.
    if (layer.length === 0) {
      depth = -1
      layer = services
        .map(([name]) => name)
        .filter(name => !depths.has(name))
        .slice(0, 1)
    }
  }
  return depths
}

/** Nodes stand near those that they are joined to: each column follows the one before it. */
function ordered(columns: Column[]): void {
  for (let i = columns.length - 2; i >= 0; i--) follow(columns[i]!, columns[i + 1]!)
  for (let i = 1; i < columns.length; i++) follow(columns[i]!, columns[i - 1]!)
}

function follow(column: Column, beside: Column): void {
  const at = new Map(beside.map(({ name }, i) => [name, (i + 0.5) / beside.length]))
  const means = new Map(
    column.map((each, i) => {
      const known = [...each.in.map(({ client }) => client), ...each.out.map(({ server }) => server)].flatMap(
        name => at.get(name) ?? [],
      )
      const mean = known.reduce((sum, place) => sum + place, 0) / known.length
      return [each, known.length === 0 ? (i + 0.5) / column.length : mean] as const
    }),
  )
  column.sort((a, b) => means.get(a)! - means.get(b)!)
}

function sameColumn(places: ReadonlyMap<string, Place>, { client, server }: Flow): boolean {
  return places.get(client)?.column === places.get(server)?.column
}

function line(from: Place, to: Place): { d: string; labelX: number; labelY: number } {
  const [y1, y2] = [from.y + from.height / 2, to.y + to.height / 2]
  if (from.column === to.column) {
    // Along the right side of the column, further out the further it goes.
    const x = from.x + from.width
    const out = x + 40 + Math.min(30, Math.abs(y2 - y1) / 12)
    const down = from === to ? 14 : 0
    return {
      d: `M${x} ${y1 - down}C${out} ${y1 - down} ${out} ${y2 + down} ${x} ${y2 + down}`,
      labelX: out - 8,
      labelY: (y1 + y2) / 2,
    }
  }
  const back = to.x < from.x
  const x1 = back ? from.x : from.x + from.width
  const x2 = back ? to.x + to.width : to.x
  const bend = (x2 - x1) / 2
  return {
    d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`,
    labelX: (x1 + x2) / 2,
    labelY: (y1 + y2) / 2,
  }
}
