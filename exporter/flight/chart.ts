// A chart as SVG inside the document: it needs no script, and prints.

import { type Html, html } from '../web.ts'

export interface Line {
  readonly name: string
  readonly values: readonly number[]
  /** A class of the style sheet. */
  readonly look: string
}

const WIDTH = 720
const HEIGHT = 110
/** More points than these cannot be told apart. */
const POINTS = 360

/** Undefined if nothing is known of any line. `at` are times to mark. */
export function chart(
  title: string,
  times: readonly number[],
  lines: readonly Line[],
  write: (value: number) => string,
  at: readonly number[],
): Html | undefined {
  const known = lines.filter(({ values }) => values.some(value => Number.isFinite(value)))
  const [first, last] = [times[0], times.at(-1)]
  if (known.length === 0 || first === undefined || last === undefined || last <= first) return undefined
  const top = known.reduce((most, { values }) => values.reduce((a, b) => (b > a ? b : a), most), 0) || 1
  const x = (time: number): number => ((time - first) / (last - first)) * WIDTH
  const y = (value: number): number => HEIGHT - (Math.min(value, top) / top) * (HEIGHT - 4)
  const seconds = Math.round((last - first) / 1000)
  const newest = known.map(({ name, values, look }, i) => {
    const value = values.findLast(each => Number.isFinite(each))
    return html`${i > 0 ? ', ' : ''}<span class="name ${look}">${name}</span> ${value === undefined ? '' : write(value)}`
  })
  return html`<figure><figcaption><b>${title}</b> ${newest} at the end; the top is ${write(top)}; the last ${seconds} s</figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${title}">${at
    .filter(time => time >= first && time <= last)
    .slice(-50)
    .map(time => html`<path class="mark" d="M${x(time).toFixed(1)} 0V${HEIGHT}"/>`)}${known.map(
    ({ values, look }) => html`<path class="${look}" d="${path(times, values, x, y)}"/>`,
  )}</svg></figure>
`
}

function path(
  times: readonly number[],
  values: readonly number[],
  x: (time: number) => number,
  y: (value: number) => number,
): string {
  const step = Math.max(1, Math.floor(times.length / POINTS))
  let drawn = ''
  let broken = true
  for (let i = (times.length - 1) % step; i < times.length; i += step) {
    const value = values[i]!
    if (!Number.isFinite(value)) {
      broken = true
      continue
    }
    drawn += `${broken ? 'M' : 'L'}${x(times[i]!).toFixed(1)} ${y(value).toFixed(1)}`
    broken = false
  }
  return drawn
}
