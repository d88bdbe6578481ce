// Programs of ours to be started: this one once more, and small ones that stand beside it.

import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The command that starts it: from its sources, as it is published, or as the single executable. */
export function ownProgram(): { readonly file: string; readonly args: readonly string[] } {
  if (process.getBuiltinModule('node:sea').isSea()) return { file: process.execPath, args: [] }
  return { file: process.execPath, args: [...process.execArgv, process.argv[1] ?? ''] }
}

/** The file name of a program that was compiled for this system and processor. */
export function helperName(name: string): string {
  return `pillion-${name}-${process.platform}-${process.arch}`
}

/** Its path: beside the single executable, else in dist/; undefined if it is not there. */
export function ownHelper(name: string): string | undefined {
  const folder = process.getBuiltinModule('node:sea').isSea()
    ? dirname(process.execPath)
    : // One folder up, from own/ as from dist/.
      fileURLToPath(new URL('../dist', import.meta.url))
  const path = join(folder, helperName(name))
  return existsSync(path) ? path : undefined
}
