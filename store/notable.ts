// The traces worth keeping of each operation: those with its newest errors, and those with its slowest spans in each range of
// durations. An operation is a service with the name of a span that answers a request or begins a trace.

import { word } from '../metrics/word.ts'
import { STATUS } from '../telemetry/span.ts'

/** Operations that are remembered, a power of two. */
const OPERATIONS = 512
/**
 * The operation that was not seen for the longest gives way to another, but not before so many seconds: a sender who names each
 * span anew must not push out the operations of others, nor make each of its spans a notable one.
 */
const IDLE_SECONDS = 60
/** Places tried for an operation. */
const PROBES = 8
const ERRORS = 4
/** The two slowest of each range; its upper bounds in nanoseconds. */
const SLOWEST = 2
const BOUNDS = [10e6, 30e6, 100e6, 300e6, 1e9, 3e9, 10e9]
const SLOTS = ERRORS + SLOWEST * (BOUNDS.length + 1)
const DURATION = 0
const SECONDS_NOW = 1
/** A trace is notable for so many seconds. */
const SECONDS = 600

const NO_ROOM = -1

export class Notable {
  // For each operation: two hashes, when it was seen last, and its next error's place.
  readonly #keys = new Int32Array(2 * OPERATIONS)
  readonly #seen = new Float64Array(OPERATIONS)
  readonly #error = new Uint8Array(OPERATIONS)
  // For each slot: the trace id and its hash, the duration, and when it came; 0 is an empty slot.
  readonly #ids = new Int32Array(4 * SLOTS * OPERATIONS)
  readonly #hashes = new Int32Array(SLOTS * OPERATIONS)
  readonly #nanos = new Float64Array(SLOTS * OPERATIONS)
  readonly #at = new Float64Array(SLOTS * OPERATIONS)
  readonly #bytes = new Uint8Array(this.#ids.buffer)
  /** For each range of an operation: the duration that a span must exceed to be among the slowest; below 0 if any may. */
  readonly #least = new Float64Array((BOUNDS.length + 1) * OPERATIONS).fill(-1)

  /** The duration of the span at hand in nanoseconds, and the time. */
  readonly #span = new Float64Array(2)

  static readonly BYTES = OPERATIONS * (17 + SLOTS * 36 + 8 * (BOUNDS.length + 1))

  set duration(nanos: number) {
    this.#span[DURATION] = nanos
  }

  /** Begins at a time in seconds: that of the spans that follow. */
  begin(seconds: number): void {
    this.#span[SECONDS_NOW] = seconds
  }

  /**
   * Judges a span of an operation, whose trace id has this hash; true if its trace is notable now. Its duration is in
   * `duration`: a number that is not whole would be an object on its way into a call.
   */
  judge(operation: number, status: number, id: Uint8Array, at: number, hash: number): boolean {
    const nanos = this.#span[DURATION]!
    const first = operation * SLOTS
    if (status === STATUS.error) {
      if (this.#has(first, ERRORS, id, at)) return true
      const error = this.#error[operation]!
      this.#error[operation] = (error + 1) % ERRORS
      this.#set(first + error, id, at, hash)
      return true
    }
    let range = 0
    while (range < BOUNDS.length && nanos > BOUNDS[range]!) range++
    const least = operation * (BOUNDS.length + 1) + range
    // Fast path: most spans are not among the slowest.
    if (nanos <= this.#least[least]!) return false
    const slot = first + ERRORS + range * SLOWEST
    if (this.#has(slot, SLOWEST, id, at)) return true
    let weakest = slot
    for (let i = slot; i < slot + SLOWEST; i++) if (this.#nanos[i]! < this.#nanos[weakest]!) weakest = i
    this.#set(weakest, id, at, hash)
    this.#raise(slot, least)
    return true
  }

  /** Forgets what is too old, and calls back with the id of each notable trace, and its hash. */
  each(seconds: number, back: (id: Uint8Array, at: number, hash: number) => void): void {
    for (let operation = 0; operation < OPERATIONS; operation++) {
      if (this.#seen[operation] === 0) continue
      let forgot = false
      for (let slot = operation * SLOTS; slot < (operation + 1) * SLOTS; slot++) {
        const at = this.#at[slot]!
        if (at === 0) continue
        if (at >= seconds - SECONDS) back(this.#bytes, 16 * slot, this.#hashes[slot]!)
        else {
          this.#at[slot] = this.#nanos[slot] = 0
          forgot = true
        }
      }
      if (!forgot) continue
      for (let range = 0; range <= BOUNDS.length; range++)
        this.#raise(operation * SLOTS + ERRORS + range * SLOWEST, operation * (BOUNDS.length + 1) + range)
    }
  }

  #raise(slot: number, least: number): void {
    let lowest = Number.POSITIVE_INFINITY
    for (let i = slot; i < slot + SLOWEST; i++) lowest = Math.min(lowest, this.#at[i] === 0 ? -1 : this.#nanos[i]!)
    this.#least[least] = lowest
  }

  /** The number of an operation, by the hashes of its name and service; negative if there is no room for it. */
  operation(name: number, service: number): number {
    const seconds = this.#span[SECONDS_NOW]!
    const begin = name ^ Math.imul(service, 0x9e3779b1)
    let oldest = -1
    for (let i = 0; i < PROBES; i++) {
      const place = (begin + i) & (OPERATIONS - 1)
      if (this.#seen[place]! > 0 && this.#keys[2 * place] === name && this.#keys[2 * place + 1] === service) {
        this.#seen[place] = seconds
        return place
      }
      if (oldest < 0 || this.#seen[place]! < this.#seen[oldest]!) oldest = place
    }
    if (this.#seen[oldest]! > 0 && this.#seen[oldest]! > seconds - IDLE_SECONDS) return NO_ROOM
    this.#keys[2 * oldest] = name
    this.#keys[2 * oldest + 1] = service
    this.#seen[oldest] = seconds
    this.#at.fill(0, oldest * SLOTS, (oldest + 1) * SLOTS)
    this.#nanos.fill(0, oldest * SLOTS, (oldest + 1) * SLOTS)
    this.#least.fill(-1, oldest * (BOUNDS.length + 1), (oldest + 1) * (BOUNDS.length + 1))
    return oldest
  }

  #has(slot: number, slots: number, id: Uint8Array, at: number): boolean {
    for (let i = slot; i < slot + slots; i++)
      if (
        this.#at[i]! > 0 &&
        this.#ids[4 * i + 3] === word(id, at + 12) &&
        this.#ids[4 * i + 2] === word(id, at + 8) &&
        this.#ids[4 * i + 1] === word(id, at + 4) &&
        this.#ids[4 * i] === word(id, at)
      )
        return true
    return false
  }

  #set(slot: number, id: Uint8Array, at: number, hash: number): void {
    this.#hashes[slot] = hash
    for (let i = 0; i < 4; i++) this.#ids[4 * slot + i] = word(id, at + 4 * i)
    this.#nanos[slot] = this.#span[DURATION]!
    this.#at[slot] = this.#span[SECONDS_NOW]!
  }
}
