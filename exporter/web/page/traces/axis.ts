// The time axis: a window over the trace in microseconds, and the marks below it. The strip, the mini-map and the bars
// share it.

export interface Window {
  readonly from: number
  readonly to: number
}

/** A window shorter than this, in microseconds, would show nothing. */
const SHORTEST = 0.1

/** A window inside the trace. Both ends may be absent, or nonsense from an address. */
export function windowOf(from: number | undefined, to: number | undefined, end: number): Window {
  const whole = { from: 0, to: Math.max(end, SHORTEST) }
  if (from === undefined || to === undefined || !Number.isFinite(from) || !Number.isFinite(to)) return whole
  const low = Math.max(0, Math.min(from, to))
  const high = Math.min(whole.to, Math.max(from, to))
  return high - low < SHORTEST ? whole : { from: low, to: high }
}

/** Where a time is, from 0 to 1 inside the window. */
export function share({ from, to }: Window, time: number): number {
  return (time - from) / (to - from)
}

/** Zooms by a factor around a time, inside the trace. */
export function zoomed(window: Window, around: number, factor: number, end: number): Window {
  const from = around - (around - window.from) * factor
  const to = around + (window.to - around) * factor
  if (to - from >= end) return windowOf(undefined, undefined, end)
  const shift = from < 0 ? -from : to > end ? end - to : 0
  return windowOf(from + shift, to + shift, end)
}

export function panned(window: Window, by: number, end: number): Window {
  const width = window.to - window.from
  const from = Math.max(0, Math.min(window.from + by * width, end - width))
  return windowOf(from, from + width, end)
}

/** Round times inside the window, about so many of them. */
export function ticks({ from, to }: Window, about: number): number[] {
  const rough = (to - from) / Math.max(1, about)
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 5, 10].map(each => each * power).find(each => each >= rough) ?? rough
  const found: number[] = []
  for (let i = Math.ceil(from / step); i * step <= to && found.length < 100; i++) found.push(i * step)
  return found
}

export interface Bar {
  /** Shares of the width, cut to the window. */
  readonly left: number
  readonly width: number
  /** Whether it goes on beyond either side. */
  readonly before: boolean
  readonly after: boolean
}

/** A bar in the window; undefined if nothing of it is in sight. */
export function bar(window: Window, start: number, duration: number): Bar | undefined {
  const end = start + duration
  if (end < window.from || start > window.to) return undefined
  const left = Math.max(0, share(window, start))
  const right = Math.min(1, share(window, end))
  return { left, width: Math.max(0, right - left), before: start < window.from, after: end > window.to }
}

/** The share of the width from `left` on that has no room for a text, since later bars lie upon it. */
export function coveredAt(left: number, room: number, later: readonly Pick<Bar, 'left' | 'width'>[]): number {
  let from = left
  for (const each of later.toSorted((a, b) => a.left - b.left))
    if (each.left < from + room) from = Math.max(from, each.left + each.width)
  return from - left
}

export interface Cluster {
  /** Share of the width. */
  readonly at: number
  /** Positions of the marks in it. */
  readonly marks: readonly number[]
}

/** Marks that would lie upon each other, joined: `times` ascend, `apart` is the least share of the width between two. */
export function clusters(window: Window, times: readonly number[], apart: number): Cluster[] {
  const found: { at: number; marks: number[] }[] = []
  for (const [mark, time] of times.entries()) {
    const at = share(window, time)
    if (at < 0 || at > 1) continue
    const last = found.at(-1)
    if (last && at - last.at < apart) last.marks.push(mark)
    else found.push({ at, marks: [mark] })
  }
  return found
}
