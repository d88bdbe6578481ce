// `npm run build [-- --out DIR]`: main.ts and what it imports become JavaScript in dist/, since Node does not strip types
// inside node_modules. There is one module for everything that is loaded together, instead of one for each source: loading 150
// modules takes a quarter more CPU until the sidecar is ready (bench row "start"). tsc checks and writes the types.

import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { build } from 'esbuild'
import { web } from '../exporter/web.ts'
import { COMMON, LAUNCHER, MAIN, ROOT, THREADS } from './bundle.ts'

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
  // In one folder, since own/files.ts looks one folder up from whichever module contains it.
  entryNames: '[name]',
  chunkNames: '[name]-[hash]',
  metafile: true,
})
const modules = Object.values(metafile.outputs)

// V8 keeps a text in two bytes a character if only one of them is beyond Latin-1. esbuild escapes them in strings; in a regular
// expression or a comment that it keeps they stay.
for (const file of Object.keys(metafile.outputs)) {
  const [beyond] = /.{0,40}[^\0-\xff].{0,40}/.exec(readFileSync(join(ROOT, file), 'utf8')) ?? []
  if (beyond)
    throw new Error(`cannot ship ${file}: it would take twice its memory for a character beyond Latin-1: ${beyond}`)
}

if (!readFileSync(main, 'utf8').startsWith('#!'))
  throw new Error('cannot ship dist/main.js: esbuild has dropped its first line, which starts Node')
chmodSync(main, 0o755)
// npm links this file as `pillion`.
copyFileSync(join(ROOT, LAUNCHER), join(dist, 'pillion'))
chmodSync(join(dist, 'pillion'), 0o755)

const { folder, bundle } = await web.bundle()
const page = join(dist, folder.slice('dist/'.length))
mkdirSync(page)
for (const [file, text] of bundle.files) writeFileSync(join(page, file), text)

const version = execFileSync(process.execPath, [main, 'version'], { encoding: 'utf8' }).trim()
const bytes = modules.reduce((sum, module) => sum + module.bytes, 0)
console.log(`dist/: ${modules.length} modules, ${Math.round(bytes / 1024)} KiB; node dist/main.js version: ${version}`)
