// Patterns of file names: * and ? and [a-z] within a folder, ** for any folders. Folders are read as far as the pattern needs;
// how many names are looked at is limited, since a pattern such as /** would find the whole machine.

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

const MOST_NAMES = 200_000
const MOST_DEPTH = 12

export class Pattern {
  readonly #source: string
  /** Folders without wildcards, and the segments below; none for a plain name. */
  readonly #base: string
  readonly #segments: readonly (RegExp | '**')[]

  constructor(source: string) {
    this.#source = source
    const parts = source.split('/')
    const first = parts.findIndex(isPattern)
    this.#base = first < 0 ? source : parts.slice(0, first).join('/') || (source.startsWith('/') ? '/' : '.')
    this.#segments = first < 0 ? [] : parts.slice(first).map(each => (each === '**' ? '**' : segment(each)))
  }

  /** The paths that match now; a plain name is one, whether the file is there or not. */
  async find(): Promise<readonly string[]> {
    if (this.#segments.length === 0) return [this.#source]
    const found: string[] = []
    await walk(this.#base, this.#segments, found, { left: MOST_NAMES }, 0)
    return found
  }

  /** Whether a path matches. */
  matches(path: string): boolean {
    if (this.#segments.length === 0) return path === this.#source
    const base = this.#base === '/' ? '/' : `${this.#base}/`
    const relative =
      this.#base === '.' ? path.replace(/^\.\//, '') : path.startsWith(base) ? path.slice(base.length) : undefined
    return relative !== undefined && fits(relative.split('/'), this.#segments)
  }
}

function fits(parts: readonly string[], segments: readonly (RegExp | '**')[]): boolean {
  const [first, ...rest] = segments
  if (first === undefined) return parts.length === 0
  if (first !== '**') return parts.length > 0 && first.test(parts[0]!) && fits(parts.slice(1), rest)
  return parts.some((_, at) => fits(parts.slice(at), rest))
}

async function walk(
  folder: string,
  [first, ...rest]: readonly (RegExp | '**')[],
  found: string[],
  budget: { left: number },
  depth: number,
): Promise<void> {
  if (first === undefined || depth > MOST_DEPTH) return
  if (first === '**' && rest.length > 0) await walk(folder, rest, found, budget, depth)
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
  for (const entry of entries) {
    if (budget.left-- <= 0) return
    const path = folder === '.' ? entry.name : join(folder, entry.name)
    if (first === '**') {
      // Not through links, which may lead in circles.
      if (entry.isDirectory()) await walk(path, ['**', ...rest], found, budget, depth + 1)
      else if (rest.length === 0) found.push(path)
    } else if (first.test(entry.name)) {
      if (rest.length === 0) {
        if (!entry.isDirectory()) found.push(path)
      } else if (entry.isDirectory() || entry.isSymbolicLink()) await walk(path, rest, found, budget, depth + 1)
    }
  }
}

function isPattern(text: string): boolean {
  return /[*?[]/.test(text)
}

/** Names that begin with a dot match only a pattern that does. */
function segment(text: string): RegExp {
  const body = text.replace(/\*+|\?|\[[!^]?[^\]]+\]|[\\^$.|+(){}[\]]/g, part => {
    if (part.startsWith('*')) return '[^/]*'
    if (part === '?') return '[^/]'
    if (part.length > 2 && part.startsWith('[')) return part.replace(/^\[[!^]/, '[^').replaceAll('\\', '\\\\')
    return `\\${part}`
  })
  try {
    return new RegExp(`^${text.startsWith('.') ? '' : '(?!\\.)'}${body}$`, 's')
  } catch (cause) {
    // The only mistake that the characters between brackets can make.
    throw new Error(`cannot use the pattern ${text}: a range in it ends before it begins`, { cause })
  }
}
