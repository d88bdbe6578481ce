// The route of a path: a template that the operator has given, or the path with what looks like an id as {id}. Scanners and
// mistyped links would fill any table, so there is a limit, and a path that was not found makes no route.

/** Paths whose template is known already, or that none fits. */
const MOST_KNOWN = 4096
const MOST_SEGMENTS = 10

/** Files that belong to pages: one route for all of them in a folder. */
const ASSET = /^\.(?:avif|css|eot|gif|ico|jpe?g|js|map|mjs|mp4|pdf|png|svg|ttf|txt|webm|webp|woff2?|xml)$/i

interface Template {
  readonly route: string
  readonly segments: readonly string[]
  /** Whether the last segment stands for all that follows. */
  readonly open: boolean
}

export class Routes {
  readonly #templates: readonly Template[]
  readonly #limit: number
  readonly #routes = new Set<string>()
  readonly #known = new Map<string, string>()
  /** Requests whose route was beyond the limit. */
  beyond = 0

  constructor(templates: readonly string[], limit: number) {
    this.#templates = templates.map(readTemplate)
    this.#limit = limit
  }

  /** The route of a path, or undefined if it has none. */
  of(path: string, status: number): string | undefined {
    if (path === '') return undefined
    const template = this.#templates.length > 0 ? this.#template(path) : undefined
    if (template !== undefined) return template
    const route = normalised(path)
    if (this.#routes.has(route)) return route
    // A refusal says nothing about what the application has.
    if (status >= 400 && status < 500) return undefined
    if (this.#routes.size >= this.#limit) {
      this.beyond++
      return undefined
    }
    this.#routes.add(route)
    return route
  }

  #template(path: string): string | undefined {
    const known = this.#known.get(path)
    if (known !== undefined) return known || undefined
    const segments = path.split('/')
    const route = this.#templates.find(each => fits(each, segments))?.route
    if (this.#known.size >= MOST_KNOWN) this.#known.clear()
    if (path.length <= 512) this.#known.set(path, route ?? '')
    return route
  }
}

/** Without query and fragment, which may hold secrets, and without scheme and host, which proxies are sent. */
export function pathOf(target: string): string {
  let start = 0
  if (!target.startsWith('/')) {
    const scheme = target.indexOf('://')
    if (scheme < 1 || scheme > 8) return target === '*' ? '*' : ''
    start = target.indexOf('/', scheme + 3)
    if (start < 0) return '/'
  }
  const query = target.indexOf('?', start)
  const fragment = target.indexOf('#', start)
  const end = query < 0 ? fragment : fragment < 0 ? query : Math.min(query, fragment)
  return target.slice(start, end < 0 ? target.length : end)
}

function readTemplate(route: string): Template {
  const segments = route.split('/')
  const last = segments.at(-1) ?? ''
  const open = last === '*' || last === '**' || /^\{[^}]*(?:\.\.\.|\*)\}$/.test(last)
  return { route, segments: open ? segments.slice(0, -1) : segments, open }
}

function fits({ segments, open }: Template, path: readonly string[]): boolean {
  if (open ? path.length <= segments.length : path.length !== segments.length) return false
  return segments.every((each, place) => isPlaceholder(each) || each === path[place])
}

/** {id}, :id, <id> and *. */
function isPlaceholder(segment: string): boolean {
  return segment === '*' || /^(?:\{[^}]*\}|:\w+|<[^>]*>)$/.test(segment)
}

/** In one pass, since most paths are new: they hold an id. */
function normalised(path: string): string {
  let route = ''
  // The path before this was taken into the route.
  let taken = 0
  for (let [from, count] = [0, 0]; ; count++) {
    if (count > MOST_SEGMENTS) return `${route + path.slice(taken, from)}{rest}`
    const slash = path.indexOf('/', from)
    const to = slash < 0 ? path.length : slash
    const last = slash < 0 || count === MOST_SEGMENTS
    const name = last && isAsset(path, from, to) ? '{file}' : isId(path, from, to) ? '{id}' : ''
    if (name !== '') {
      route += path.slice(taken, from) + name
      taken = to
    }
    if (slash < 0) return taken === 0 ? path : route + path.slice(taken)
    from = to + 1
  }
}

function isAsset(path: string, from: number, to: number): boolean {
  const dot = path.lastIndexOf('.', to - 1)
  return dot >= from && ASSET.test(path.slice(dot, to))
}

/**
 * Whether a segment names one thing among many: a number, a UUID, a hexadecimal, a date, a ULID or another token of 20
 * characters with a digit, an address, or anything that is too long or too odd for the name of a resource.
 */
function isId(path: string, from: number, to: number): boolean {
  const length = to - from
  if (length > 48) return true
  let [digits, hex, marks] = [0, 0, 0]
  for (let i = from; i < to; i++) {
    const code = path.charCodeAt(i)
    if (code >= 48 && code <= 57) digits++
    else if ((code | 32) >= 97 && (code | 32) <= 102) hex++
    // - . _ : ,
    else if (code === 45 || code === 46 || code === 95 || code === 58 || code === 44) marks++
    // % @ = +
    else if (code === 37 || code === 64 || code === 61 || code === 43) return true
  }
  if (digits === 0) return false
  if (digits + marks === length) return true
  if (digits + hex === length && length >= 8) return true
  return length >= 20 || digits / length > 0.5
}
