// What `npm run build` and `npm run executable` have in common: esbuild, and the two programs that Pillion is.

import { fileURLToPath } from 'node:url'
import type { BuildOptions } from 'esbuild'

export const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** The command line, and the threads that compare passwords and read large requests, each the entry of a program. */
export const MAIN = 'main.ts'
export const THREADS = ['exporter/web/bcrypt.ts', 'collectors/otlp/large.ts'] as const

export const COMMON = {
  absWorkingDir: ROOT,
  bundle: true,
  platform: 'node',
  // The oldest that package.json allows.
  target: 'node24.18',
  logLevel: 'warning',
} satisfies BuildOptions
