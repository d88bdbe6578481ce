// `npm run build [-- --out DIR]`: main.ts and what it imports become JavaScript in dist/, since Node does not strip types
// inside node_modules. One module for each time at which something is loaded, instead of one for each source: loading 150
// more takes a quarter more CPU until it is ready (bench row "start"). tsc judges, and writes the types.

import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, readFileSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { build } from 'esbuild'
import { COMMON, MAIN, ROOT, THREADS } from './bundle.ts'

const { out } = parseArgs({ options: { out: { type: 'string', default: join(ROOT, 'dist') } } }).values
const dist = resolve(out)
const main = join(dist, 'main.js')

rmSync(dist, { recursive: true, force: true })
const tsc = join(ROOT, 'node_modules/.bin/tsc')
const { status } = spawnSync(tsc, ['--project', 'tsconfig.build.json', '--outDir', dist], {
  cwd: ROOT,
  stdio: 'inherit',
})
if (status !== 0) {
  console.error('cannot build: mend what tsc says')
  process.exit(1)
}

const { metafile } = await build({
  ...COMMON,
  entryPoints: [MAIN, ...THREADS],
  format: 'esm',
  splitting: true,
  // They are installed with the program.
  packages: 'external',
  outdir: dist,
  // Side by side, since own/files.ts, in whichever it comes to be, looks one folder up.
  entryNames: '[name]',
  chunkNames: '[name]-[hash]',
  metafile: true,
})
const modules = Object.values(metafile.outputs)

if (!readFileSync(main, 'utf8').startsWith('#!'))
  throw new Error('cannot ship dist/main.js: esbuild has dropped its first line, which starts Node')
chmodSync(main, 0o755)

const version = execFileSync(process.execPath, [main, 'version'], { encoding: 'utf8' }).trim()
const bytes = modules.reduce((sum, module) => sum + module.bytes, 0)
console.log(`dist/: ${modules.length} modules, ${Math.round(bytes / 1024)} KiB; node dist/main.js version: ${version}`)
