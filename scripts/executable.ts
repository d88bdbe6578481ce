// `npm run executable [-- --out DIR]`: Pillion and the Node that runs this script as one file, for hosts without Node. Beside
// it stand the licences of everything in it and, where there is a C compiler, the program of `process.exit_helper`. It is a
// single executable application of Node: the program as one CommonJS module, injected into a copy of Node together with the
// files that are read while it runs (own/files.ts).

import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { build } from 'esbuild'
import { web } from '../exporter/web.ts'
import { COMMON, MAIN, ROOT, THREADS } from './bundle.ts'
import { compileExitStatus } from './exit-status.ts'

/** Node looks for this marker to know whether a program was injected. */
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2'

const { out } = parseArgs({ options: { out: { type: 'string', default: join(ROOT, 'dist') } } }).values
const name = `pillion-${process.platform}-${process.arch}`
const executable = join(resolve(out), name)
const scratch = mkdtempSync(join(tmpdir(), 'pillion-executable-'))
try {
  const packages = new Set(await bundle(MAIN, 'main.js'))
  for (const thread of THREADS) for (const each of await bundle(thread, program(thread))) packages.add(each)
  const page = await web.bundle()
  for (const each of page.bundle.packages) packages.add(each)
  mkdirSync(join(scratch, page.folder), { recursive: true })
  const parts = [...page.bundle.files].map(([file, text]) => {
    writeFileSync(join(scratch, page.folder, file), text)
    return `${page.folder}/${file}`
  })
  const blob = prepare(parts)
  const node = join(scratch, name)
  copyFileSync(process.execPath, node)
  chmodSync(node, 0o755)
  inject(node, blob)
  mkdirSync(resolve(out), { recursive: true })
  rmSync(executable, { force: true })
  copyFileSync(node, executable)
  writeFileSync(`${executable}.licenses.txt`, licences(packages))
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
const helper = compileExitStatus(out)
const version = execFileSync(executable, ['version'], { encoding: 'utf8' }).trim()
console.log(`${executable}: ${Math.round(statSync(executable).size / 1024 / 1024)} MiB; it says: ${version}`)
console.log('path' in helper ? `${helper.path}: stands beside it` : `without process.exit_helper: ${helper.why}`)

/** The name of a thread's program inside. */
function program(thread: string): string {
  return thread.replace(/\.ts$/, '.js')
}

/** One program as one file; returns the folders of the packages that are in it. */
async function bundle(entry: string, file: string): Promise<string[]> {
  const { metafile } = await build({
    ...COMMON,
    entryPoints: [entry],
    outfile: join(scratch, file),
    format: 'cjs',
    // Names stay, for stack traces.
    minifyWhitespace: true,
    lineLimit: 120,
    // Packages make a `require` of it while they are loaded.
    define: { 'import.meta.url': 'ownUrl' },
    banner: { js: `const ownUrl=require('node:url').pathToFileURL(process.execPath).href;` },
    charset: 'ascii',
    metafile: true,
  })
  // V8 stores a Latin-1 string in one byte a character; a single other character makes it two, 2.5 MiB more for the program.
  const [other] = /[^\0-\xff].*/.exec(readFileSync(join(scratch, file), 'utf8')) ?? []
  if (other)
    throw new Error(`cannot keep ${entry} small: write this with an escape: ${JSON.stringify(other.slice(0, 60))}`)
  return Object.keys(metafile.inputs).flatMap(input => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? [])
}

/**
 * Prepares the blob to inject, with the page's files. Options: nodejs.org/docs/latest-v24.x/api/single-executable-
 * applications.html
 */
function prepare(page: readonly string[]): string {
  const files = ['package.json', ...globSync('dashboards/grafana/*.json', { cwd: ROOT })]
  const [, flags = ''] = /^#!\/usr\/bin\/env -S node(.*)\n/.exec(readFileSync(join(ROOT, MAIN), 'utf8')) ?? []
  const execArgv = flags.trim().split(' ')
  const config = {
    main: join(scratch, 'main.js'),
    output: join(scratch, 'blob'),
    disableExperimentalSEAWarning: true,
    // Saves a third of the start and 10 MiB: without it the whole program is parsed.
    useCodeCache: true,
    execArgv,
    // NODE_OPTIONS is the application's, and an instrumentation that it loads would observe the sidecar.
    execArgvExtension: 'none',
    assets: {
      ...Object.fromEntries(files.map(file => [file, join(ROOT, file)])),
      ...Object.fromEntries(page.map(file => [file, join(scratch, file)])),
      ...Object.fromEntries(THREADS.map(thread => [program(thread), join(scratch, program(thread))])),
    },
  }
  const file = join(scratch, 'sea.json')
  writeFileSync(file, JSON.stringify(config))
  // Only a Node with the same flags uses the code cache.
  quiet(process.execPath, [...execArgv, '--experimental-sea-config', file])
  return config.output
}

function inject(node: string, blob: string): void {
  const segment = process.platform === 'darwin' ? ['--macho-segment-name', 'NODE_SEA'] : []
  // macOS runs no program whose signature is broken.
  if (segment.length > 0) quiet('codesign', ['--remove-signature', node])
  quiet(join(ROOT, 'node_modules/.bin/postject'), [node, 'NODE_SEA_BLOB', blob, '--sentinel-fuse', FUSE, ...segment])
  if (segment.length > 0) quiet('codesign', ['--sign', '-', node])
}

/** The licence of Pillion and of each package; Node's is found in its repository under the version's tag. */
function licences(packages: ReadonlySet<string>): string {
  const texts = [...packages].sort().map(folder => {
    const { name, version, license } = JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8'))
    const file = readdirSync(join(ROOT, folder)).find(each => /^licen[cs]e/i.test(each))
    return [`${name} ${version}: ${license}`, file ? readFileSync(join(ROOT, folder, file), 'utf8').trim() : '']
  })
  const node = `node ${process.version}: https://github.com/nodejs/node/blob/${process.version}/LICENSE`
  const own = readFileSync(join(ROOT, 'LICENSE'), 'utf8').trim()
  return `${[['pillion: Apache-2.0', own], [node], ...texts].map(each => each.join('\n\n')).join(`\n\n${'-'.repeat(80)}\n\n`)}\n`
}

/** The output of a tool is shown only if it fails: postject warns about sections of Node that it does not know. */
function quiet(program: string, args: readonly string[]): void {
  execFileSync(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
}
