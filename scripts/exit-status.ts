// `node scripts/exit-status.ts [--out DIR]`: compiles host/exit-status.c, the program behind `process.exit_helper`, for the system
// and processor that it is run on. Where there is no C compiler with a static C library, it says so, and that is no failure:
// the sidecar does without.

import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { helperName } from '../own/program.ts'
import { ROOT } from './bundle.ts'

export type Compiled = { readonly path: string } | { readonly why: string }

/** Static, so that it runs in every image, with any C library or none. */
const FLAGS = ['-std=gnu11', '-static', '-Os', '-s', '-Wall', '-Wextra', '-Werror']

export function compileExitStatus(folder: string, compiler = process.env['CC'] ?? 'cc'): Compiled {
  const path = join(resolve(folder), helperName('exit-status'))
  // One that was made earlier may be of another version.
  rmSync(path, { force: true })
  if (process.platform !== 'linux') return { why: 'it is for Linux alone' }
  mkdirSync(folder, { recursive: true })
  const { status, stderr, error } = spawnSync(compiler, [...FLAGS, '-o', path, join(ROOT, 'host/exit-status.c')], {
    encoding: 'utf8',
  })
  if (status === 0) return { path }
  return { why: error ? `no C compiler (${error.message})` : `${compiler} says: ${stderr.trim().split('\n').at(-1)}` }
}

if (import.meta.main) {
  const { out } = parseArgs({ options: { out: { type: 'string', default: join(ROOT, 'dist') } } }).values
  const compiled = compileExitStatus(out)
  console.log('path' in compiled ? compiled.path : `no ${helperName('exit-status')}: ${compiled.why}`)
}
