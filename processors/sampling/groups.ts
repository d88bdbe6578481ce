// The surroundings of spans: the resource and the scope, with everything else that is in their messages, byte for byte
// and in its order, without the spans. Spans with the same bytes around them make a group, and are sent on together
// again. So fields that nobody here knows survive.
//
//   ResourceSpans = head of the resource, (2 ScopeSpans)*     ScopeSpans = head of the scope, (2 Span)*

import { skip } from '../../otlp/wire.ts'
import type { SpanView } from '../../telemetry/consumer.ts'
import type { Allotment } from '../../telemetry/memory.ts'

/** ScopeSpans in ResourceSpans, and Span in ScopeSpans: field 2 with a length. */
const INNER = 0x12
/** Groups that are looked at before the table of all: an SDK's request has a few scopes of one resource. */
const NEWEST = 8
/** The memory of a head besides its bytes, twice: its copy and its key. */
const HEAD = 200
const USUAL = 1024
const LARGEST_KEPT = 65_536

/** Bytes that are kept once, while anybody refers to them. */
interface Head {
  readonly bytes: Buffer
  readonly key: string
  readonly id: number
  users: number
}

interface Group {
  readonly resource: Head
  readonly scope: Head
  readonly key: string
  readonly index: number
  /** Spans that refer to it. */
  users: number
}

export class Groups {
  readonly #memory: Allotment
  readonly #resources = new Map<string, Head>()
  readonly #scopes = new Map<string, Head>()
  readonly #byKey = new Map<string, Group>()
  readonly #groups: (Group | undefined)[] = []
  readonly #vacant: number[] = []
  readonly #newest: (Group | undefined)[] = new Array(NEWEST).fill(undefined)
  #turn = 0
  /** Heads so far. */
  #heads = 0
  /** Where the group of the last span stood in the request at hand. */
  #resourceStart = -1
  #scopeStart = -1
  #resource: Head | undefined
  #current: Group | undefined
  #scratch = Buffer.alloc(USUAL)

  constructor(memory: Allotment) {
    this.#memory = memory
  }

  /** Groups that are held. */
  get size(): number {
    return this.#byKey.size
  }

  /** Begins at another request. */
  begin(): void {
    this.#resourceStart = this.#scopeStart = -1
    if (this.#scratch.length > LARGEST_KEPT) this.#scratch = Buffer.alloc(USUAL)
  }

  /** The group of a span, which now refers to it. */
  of(view: SpanView): number {
    if (view.scopeSpansStart !== this.#scopeStart || view.resourceSpansStart !== this.#resourceStart) this.#enter(view)
    const group = this.#current!
    group.users++
    return group.index
  }

  /** A span refers to its group no more. */
  leave(index: number): void {
    const group = this.#groups[index]!
    if (--group.users > 0 || group === this.#current || this.#newest.includes(group)) return
    this.#remove(group)
  }

  resource(index: number): Buffer {
    return this.#groups[index]!.resource.bytes
  }

  scope(index: number): Buffer {
    return this.#groups[index]!.scope.bytes
  }

  #enter(view: SpanView): void {
    const { bytes } = view
    const before = this.#current
    if (view.resourceSpansStart !== this.#resourceStart) {
      this.#resourceStart = view.resourceSpansStart
      this.#resource = this.#head(
        this.#resources,
        bytes,
        view.resourceSpansStart,
        view.resourceSpansEnd,
        this.#resource,
      )
    }
    this.#scopeStart = view.scopeSpansStart
    const length = this.#gather(bytes, view.scopeSpansStart, view.scopeSpansEnd)
    const resource = this.#resource!
    this.#current = this.#known(resource, length) ?? this.#find(resource, length)
    // Nobody may refer to the one before.
    if (before && before !== this.#current && before.users === 0 && !this.#newest.includes(before)) this.#remove(before)
  }

  /** Fast path: one of the newest groups has this scope, whose head is in the scratch. */
  #known(resource: Head, length: number): Group | undefined {
    const newest = this.#newest
    for (let i = 0; i < NEWEST; i++) {
      const group = newest[i]
      if (group?.resource !== resource || group.scope.bytes.length !== length) continue
      if (group.scope.bytes.compare(this.#scratch, 0, length) === 0) return group
    }
    return undefined
  }

  #find(resource: Head, length: number): Group {
    const text = this.#scratch.toString('latin1', 0, length)
    const key = `${resource.id}:${text}`
    const known = this.#byKey.get(key)
    const group = known ?? this.#add(resource, text, key, length)
    const replaced = this.#newest[this.#turn]
    this.#newest[this.#turn] = group
    this.#turn = (this.#turn + 1) % NEWEST
    if (replaced && replaced !== group && replaced.users === 0 && replaced !== this.#current) {
      if (!this.#newest.includes(replaced)) this.#remove(replaced)
    }
    return group
  }

  #add(resource: Head, text: string, key: string, length: number): Group {
    let scope = this.#scopes.get(text)
    if (!scope) {
      scope = { bytes: Buffer.from(this.#scratch.subarray(0, length)), key: text, id: this.#heads++, users: 0 }
      this.#scopes.set(text, scope)
      this.#memory.add(HEAD + 2 * length)
    }
    const index = this.#vacant.pop() ?? this.#groups.length
    const group: Group = { resource, scope, key, index, users: 0 }
    resource.users++
    scope.users++
    this.#groups[index] = group
    this.#byKey.set(key, group)
    this.#memory.add(HEAD + key.length)
    return group
  }

  #remove(group: Group): void {
    if (this.#groups[group.index] !== group) return
    this.#groups[group.index] = undefined
    this.#vacant.push(group.index)
    this.#byKey.delete(group.key)
    this.#memory.add(-HEAD - group.key.length)
    this.#drop(this.#scopes, group.scope)
    this.#drop(this.#resources, group.resource)
  }

  #drop(heads: Map<string, Head>, head: Head): void {
    if (--head.users > 0) return
    heads.delete(head.key)
    this.#memory.add(-HEAD - 2 * head.bytes.length)
    if (head === this.#resource) {
      this.#resource = undefined
      this.#resourceStart = -1
    }
  }

  #head(heads: Map<string, Head>, bytes: Buffer, start: number, end: number, last: Head | undefined): Head {
    const length = this.#gather(bytes, start, end)
    if (last && last.bytes.length === length && last.bytes.compare(this.#scratch, 0, length) === 0) return last
    const key = this.#scratch.toString('latin1', 0, length)
    const known = heads.get(key)
    if (known) return known
    const head = { bytes: Buffer.from(this.#scratch.subarray(0, length)), key, id: this.#heads++, users: 0 }
    heads.set(key, head)
    this.#memory.add(HEAD + 2 * length)
    return head
  }

  /** Copies the fields of a message, but for those that hold the next level, to the scratch; returns their length. */
  #gather(bytes: Buffer, start: number, end: number): number {
    let length = 0
    let from = start
    for (let pos = start; pos < end; ) {
      const begin = pos
      let tag = bytes[pos++]!
      // A tag may be written with more bytes than it needs.
      if (tag >= 128) {
        tag &= 127
        for (let shift = 7; ; shift += 7) {
          const byte = bytes[pos++]!
          if (shift < 32) tag |= (byte & 127) << shift
          if (byte < 128) break
        }
      }
      pos = skip(bytes, pos, tag)
      if (tag !== INNER) continue
      if (begin > from) length = this.#append(bytes, from, begin, length)
      from = pos
    }
    return end > from ? this.#append(bytes, from, end, length) : length
  }

  #append(bytes: Buffer, from: number, to: number, length: number): number {
    const needed = length + to - from
    if (needed > this.#scratch.length) {
      const larger = Buffer.alloc(2 * needed)
      this.#scratch.copy(larger, 0, 0, length)
      this.#scratch = larger
    }
    bytes.copy(this.#scratch, length, from, to)
    return needed
  }
}
