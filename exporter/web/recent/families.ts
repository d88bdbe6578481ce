// The families on /metrics, read from the page itself, so that those of the application are there too. A family that
// somebody looks at is kept for 15 minutes, in steps of five seconds.

import type { Exposition } from '../../../telemetry/exposition.ts'

/** Families that are kept at a time; the one that nobody has asked for longest gives way. */
const MOST_FAMILIES = 8
/** Label sets of a family that are kept; the answer says how many there are. */
const MOST_SERIES = 50
const POINTS = 180

export interface Family {
  readonly name: string
  readonly type: string
  readonly help: string
  readonly series: number
}

export interface Series {
  /** "{probe="liveness"}"; empty without labels. */
  readonly labels: string
  /** The name of the sample where it is not that of the family: "_count", "_sum". */
  readonly suffix: string
  /** One for each time; null where it was absent. */
  readonly values: readonly (number | null)[]
}

interface Line {
  readonly times: Float64Array
  readonly values: Float64Array
  count: number
}

export class Families {
  readonly #kept = new Map<string, Map<string, Line>>()
  #list: readonly Family[] = []
  #sets = new Map<string, number>()
  #times: number[] = []

  get list(): readonly Family[] {
    return this.#list
  }

  /** Whether any family is kept, so that the page must be read. */
  get looking(): boolean {
    return this.#kept.size > 0
  }

  follow(name: string): void {
    const lines = this.#kept.get(name) ?? new Map<string, Line>()
    this.#kept.delete(name)
    this.#kept.set(name, lines)
    const [oldest] = this.#kept.keys()
    if (this.#kept.size > MOST_FAMILIES && oldest !== undefined) this.#kept.delete(oldest)
  }

  forget(): void {
    this.#kept.clear()
    this.#list = []
    this.#times = []
  }

  /** Reads a page in the text format. Without `keep`, only for the list: steps stay equal then. */
  async read({ chunks, release }: Exposition, now: number, keep = true): Promise<void> {
    if (keep) this.#times = [...this.#times, now].slice(-POINTS)
    const found: { name: string; type: string; help: string; series: number }[] = []
    let current: (typeof found)[number] | undefined
    let help = ''
    const sets = new Map<string, number>()
    const line = (text: string): void => {
      if (text.startsWith('# HELP ')) help = text.slice(7)
      else if (text.startsWith('# TYPE ')) {
        const [name = '', type = 'untyped'] = text.slice(7).split(' ')
        current = { name, type, help: help.startsWith(`${name} `) ? help.slice(name.length + 1) : '', series: 0 }
        found.push(current)
      } else if (text !== '' && !text.startsWith('#')) {
        const sample = parse(text)
        if (!sample) return
        if (!current || !belongs(sample.name, current)) {
          current = { name: sample.name, type: 'untyped', help: '', series: 0 }
          found.push(current)
        }
        const suffix = sample.name.slice(current.name.length)
        if (suffix !== '_bucket' && suffix !== '_sum' && suffix !== '_created') current.series++
        const lines = suffix === '_bucket' || !keep ? undefined : this.#kept.get(current.name)
        if (lines) this.#add(lines, suffix + sample.labels, sample.value, now)
      }
    }
    let rest = ''
    const decoder = new TextDecoder()
    for await (const chunk of chunks) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
      release?.(chunk)
      rest = lines.pop() ?? ''
      for (const each of lines) line(each)
    }
    line(rest)
    for (const { name, series } of found) sets.set(name, series)
    this.#list = found
    this.#sets = sets
  }

  /** The numbers of a family that is kept. */
  series(name: string): {
    readonly times: readonly number[]
    readonly series: readonly Series[]
    readonly all: number
  } {
    const lines = this.#kept.get(name) ?? new Map<string, Line>()
    const times = this.#times
    const all = [...lines].map(([key, line]) => {
      const at = key.indexOf('{')
      const known = new Map(
        Array.from({ length: Math.min(line.count, POINTS) }, (_, i) => [line.times[i]!, line.values[i]!]),
      )
      return {
        suffix: at < 0 ? key : key.slice(0, at),
        labels: at < 0 ? '' : key.slice(at),
        values: times.map(time => finite(known.get(time))),
      }
    })
    return { times, series: all, all: this.#sets.get(name) ?? 0 }
  }

  #add(lines: Map<string, Line>, key: string, value: number, now: number): void {
    let line = lines.get(key)
    if (!line) {
      if (lines.size >= 2 * MOST_SERIES) return
      line = { times: new Float64Array(POINTS), values: new Float64Array(POINTS), count: 0 }
      lines.set(key, line)
    }
    const place = line.count % POINTS
    line.times[place] = now
    line.values[place] = value
    line.count++
  }
}

function finite(value: number | undefined): number | null {
  return value === undefined || !Number.isFinite(value) ? null : value
}

function belongs(sample: string, { name, type }: Pick<Family, 'name' | 'type'>): boolean {
  if (sample === name) return true
  if (type !== 'histogram' && type !== 'summary') return false
  return ['_bucket', '_sum', '_count', '_created'].some(suffix => sample === name + suffix)
}

/** A line of the text format: name, label set, value. Labels may hold any character but a line feed, escaped or not. */
function parse(line: string): { name: string; labels: string; value: number } | undefined {
  const [, name, labels = '', value] =
    /^([^\s{]+)(\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})? +(\S+)/.exec(line) ?? /^\{"(.*?)"\}() +(\S+)/.exec(line) ?? []
  if (name === undefined || value === undefined) return undefined
  const number = value === '+Inf' ? Infinity : value === '-Inf' ? -Infinity : Number(value)
  return { name, labels, value: number }
}
