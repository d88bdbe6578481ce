// What `npm run build` and `npm run executable` have in common: esbuild, and the two programs that Pillion is.

import { fileURLToPath } from 'node:url'
import type { BuildOptions } from 'esbuild'

export const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** The command line, and the thread that compares passwords, each the entry of a program. */
export const MAIN = 'main.ts'
export const THREAD = 'exporter/web/bcrypt.ts'

export const COMMON = {
  absWorkingDir: ROOT,
  bundle: true,
  platform: 'node',
  // The oldest that package.json allows.
  target: 'node24.18',
  logLevel: 'warning',
} satisfies BuildOptions
