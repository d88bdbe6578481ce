// The values of the attributes that are looked for, in the span or resource at hand: what consumers see as an AttributeView.

import { ABSENT, STRING } from '../telemetry/attribute.ts'
import type { AttributeView } from '../telemetry/consumer.ts'

export class Values implements AttributeView {
  readonly type: Uint8Array
  readonly start: Uint32Array
  readonly end: Uint32Array
  texts = 0

  constructor(size: number) {
    this.type = new Uint8Array(size)
    this.start = new Uint32Array(size)
    this.end = new Uint32Array(size)
  }

  clear(): void {
    this.texts = 0
    for (let i = 0; i < this.type.length; i++) this.type[i] = ABSENT
  }

  /** If a key occurs twice, the first wins. */
  set(position: number, type: number, start: number, end: number): void {
    if (this.type[position] !== ABSENT) return
    const empty = type === STRING && start === end
    this.type[position] = type
    this.start[position] = empty ? 0 : start
    this.end[position] = empty ? 0 : end
    if (type === STRING && !empty && position < 32) this.texts |= 1 << position
  }

  /** The same message stands elsewhere now. */
  move(by: number): void {
    for (let i = 0; i < this.type.length; i++) {
      if (this.end[i] === 0) continue
      this.start[i]! += by
      this.end[i]! += by
    }
  }
}
