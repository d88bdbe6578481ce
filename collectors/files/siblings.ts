// Rotated files that were never seen under their own name: two rotations between two looks. The file between them is found by
// its name, which begins as the name that is followed, and by its age.

import type { BigIntStats } from 'node:fs'
import { open, readdir, stat } from 'node:fs/promises'
import { basename, dirname, extname, join } from 'node:path'
import { type Followed, keyOf, readAt, TAIL } from './followed.ts'

/** The clock of the file system is behind by a tick of the kernel. */
const TICK_NS = 20_000_000n

interface Found {
  readonly path: string
  readonly found: BigIntStats
}

/** A file as it was before it was truncated. */
export interface Before {
  readonly path: string
  /** The position up to which it was read, and the bytes before that. */
  readonly offset: number
  readonly tail: Buffer
  /** When it was last seen to be whole, in milliseconds since the epoch. */
  readonly seen: number
}

/**
 * The copies that copytruncate has made of a file since it was last seen, in the order in which they were made, and where each is
 * to be read from: the first one has what was read already.
 */
export async function copiesOf(
  { path, offset, tail, seen }: Before,
  known: ReadonlyMap<string, Followed>,
): Promise<readonly (Found & { readonly from: number })[]> {
  const since = sinceNs(seen)
  const copies: (Found & { readonly from: number })[] = []
  for (const each of await rotated(path)) {
    const { size, birthtimeNs } = each.found
    const unseen = birthtimeNs >= since && !known.has(keyOf(each.found))
    if (await has(each.path, Number(size), offset, tail)) copies.push({ ...each, from: offset })
    else if (unseen) copies.push({ ...each, from: 0 })
  }
  copies.sort(byBirth)
  // A copy that was made later begins anew, even if it has the same bytes there.
  const first = copies.findIndex(each => each.from > 0)
  return copies.filter((each, place) => place === first || (place > first && !known.has(keyOf(each.found))))
}

/** The copies of a file that were made since, in the order in which they were made, and are not of what it holds now. */
export async function copiesWithout(
  file: Followed,
  since: number,
  known: ReadonlyMap<string, Followed>,
): Promise<readonly Found[]> {
  const copies: Found[] = []
  for (const each of await rotated(file.path)) {
    if (each.found.birthtimeNs < sinceNs(since) || known.has(keyOf(each.found))) continue
    if (!(await holds(each, file))) copies.push(each)
  }
  return copies.sort(byBirth)
}

/** Whether a copy has what was read of the file. */
export function holds({ path, found }: Found, { offset, tail }: Followed): Promise<boolean> {
  return has(path, Number(found.size), offset, tail)
}

/** Whether a file was made since, by its time as a string and a wall time in milliseconds. */
export function madeSince(born: string, ms: number): boolean {
  return BigInt(born) >= sinceNs(ms)
}

/** Whether a file has these bytes before the offset. */
async function has(path: string, size: number, offset: number, tail: Buffer): Promise<boolean> {
  if (offset === 0 || tail.length < Math.min(TAIL, offset) || size < offset) return false
  const handle = await open(path, 'r').catch(() => undefined)
  const found = handle && (await readAt(handle, offset - tail.length, tail.length).catch(() => undefined))
  await handle?.close()
  return found?.equals(tail) ?? false
}

/** Files whose names say that they were rotated from this one. */
async function rotated(path: string): Promise<readonly Found[]> {
  const [name, folder] = [basename(path), dirname(path)]
  const all: Found[] = []
  for (const each of await readdir(folder).catch(() => [])) {
    if (!isRotated(each, name)) continue
    const found = await stat(join(folder, each), { bigint: true }).catch(() => undefined)
    if (found?.isFile()) all.push({ path: join(folder, each), found })
  }
  return all
}

/** In the order in which they were written. */
export async function siblings(
  path: string,
  before: Followed,
  known: ReadonlyMap<string, Followed>,
): Promise<readonly Found[]> {
  const made = BigInt(before.born)
  // Where the file system does not know when a file was made, an old one cannot be told from a new one.
  if (made === 0n) return []
  const found = (await rotated(path)).filter(
    each => !known.has(keyOf(each.found)) && each.found.birthtimeNs + TICK_NS >= made,
  )
  return [...found].sort(byBirth)
}

/** A wall time in milliseconds, as file systems say it, with what their clock may be behind. */
function sinceNs(ms: number): bigint {
  return BigInt(Math.floor(ms)) * 1_000_000n - TICK_NS
}

function byBirth(a: Found, b: Found): number {
  return Number(a.found.birthtimeNs - b.found.birthtimeNs)
}

/** app.log.1, app.log-20261128, app-2026-11-28.log, app.1.log of app.log; not compressed ones. */
export function isRotated(name: string, of: string): boolean {
  const extension = extname(of)
  const stem = of.slice(0, of.length - extension.length)
  const rest = name.startsWith(of)
    ? name.slice(of.length)
    : extension !== '' && name.startsWith(stem) && name.endsWith(extension)
      ? name.slice(stem.length, name.length - extension.length)
      : ''
  return /^[._-]\d[\dT._:Z+-]*$/.test(rest)
}
