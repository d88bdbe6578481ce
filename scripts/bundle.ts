// Shared by `npm run build` and `npm run executable`: esbuild, and the entry points of the program.

import { fileURLToPath } from 'node:url'
import type { BuildOptions } from 'esbuild'

export const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** The entry points: the command line, and the threads that compare passwords and read large requests. */
export const MAIN = 'main.ts'
export const LAUNCHER = 'supervise/launcher.sh'
export const THREADS = ['exporter/web/bcrypt.ts', 'collectors/otlp/large.ts', 'options/matching.ts'] as const

export const COMMON = {
  absWorkingDir: ROOT,
  bundle: true,
  platform: 'node',
  // The oldest Node that package.json allows.
  target: 'node24.18',
  // V8 keeps the text of every module that is loaded. Names stay as they are, so that a stack trace can be read; lines stay
  // short, so that its columns lead somewhere.
  minifyWhitespace: true,
  lineLimit: 200,
  logLevel: 'warning',
  // Makes the page when the program runs from its sources; what is shipped has the page beside it.
  external: ['esbuild'],
} satisfies BuildOptions
