// "Did you mean …": the known names closest to one that is not known.

/**
 * The names that differ least from `word`: at most a third of its letters, and never more than three. If none is that
 * close, those whose last part is the word, so that `--port` finds `--app.port`. At most three, in the given order.
 */
export function nearest(word: string, names: Iterable<string>): string[] {
  if (word.length > LONGEST) return []
  const wanted = plain(word)
  let least = Math.min(3, Math.max(1, Math.floor(wanted.length / 3)))
  let found: string[] = []
  const tails: string[] = []
  for (const name of names) {
    const known = plain(name)
    const steps = distance(wanted, known, least)
    if (steps < least) found = []
    if (steps <= least) {
      least = steps
      found.push(name)
    }
    if (known.endsWith(`.${wanted}`)) tails.push(name)
  }
  return (found.length ? found : tails).slice(0, 3)
}

/** "; did you mean --app.url?", or nothing. */
export function suggestion(found: readonly string[]): string {
  return found.length ? `; did you mean ${found.join(' or ')}?` : ''
}

// No option is half as long; the bound keeps the quadratic cost of a very long word small.
const LONGEST = 80

function plain(name: string): string {
  return name.toLowerCase().replaceAll('-', '_')
}

// Optimal string alignment: an inserted, removed, changed or swapped letter counts as one. Gives up above `limit`.
function distance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1
  let before: number[] = []
  let above = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const changed = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      row[j] = Math.min(above[j]! + 1, row[j - 1]! + 1, changed, swapped ? before[j - 2]! + 1 : changed)
    }
    before = above
    above = row
  }
  return above[b.length]!
}
