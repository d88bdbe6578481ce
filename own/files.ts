// The files that come with the program and are read while it runs, named from the folder with package.json. The single
// executable has them inside, under the same names.

import { readdirSync, readFileSync } from 'node:fs'

/** The text of a file; undefined if there is none. */
export function ownText(name: string): string | undefined {
  return executable() ? embedded(name) : orNothing(() => readFileSync(onDisk(name), 'utf8'))
}

/** The names of the files in a folder, in order; none if there is no such folder. */
export function ownNames(folder: string): readonly string[] {
  const inside = executable()
    ?.getAssetKeys()
    .filter(name => name.startsWith(`${folder}/`))
    .map(name => name.slice(folder.length + 1))
  return (inside ?? orNothing(() => readdirSync(onDisk(folder))) ?? []).sort()
}

/** The text of a file that is inside the executable; undefined on disk. */
export function embedded(name: string): string | undefined {
  const inside = executable()
  return inside?.getAssetKeys().includes(name) ? inside.getAsset(name, 'utf8') : undefined
}

function executable(): typeof import('node:sea') | undefined {
  const sea = process.getBuiltinModule('node:sea')
  return sea.isSea() ? sea : undefined
}

/** One folder up, from own/ as from dist/. */
function onDisk(name: string): URL {
  return new URL(`../${name}`, import.meta.url)
}

function orNothing<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
