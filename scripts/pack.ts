// `node scripts/pack.ts`, after `npm run build`: packs what npm would publish, installs the tarball in an empty folder, and runs
// it there by npx. It must be a program with types, without sources and tests, and need nothing of this folder.

import { type ExecFileSyncOptions, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const DEADLINE_MS = 20_000

const clean = mkdtempSync(join(tmpdir(), 'pillion-pack-'))
// npm sets variables for its child processes, which would lead npx back to this folder.
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_(?!config_cache)/i.test(name)))
env['PATH'] = `${dirname(process.execPath)}${delimiter}${process.env['PATH']}`

try {
  const { filename, files, size, unpackedSize } = pack()
  const foreign = files.filter(
    path => !/^(LICENSE|README\.md|package\.json|CHANGELOG\.md)$|^(dist|dashboards)\//.test(path),
  )
  demand(foreign.length === 0, `the package has files that nobody needs: ${foreign.join(', ')}`)
  const sources = files.filter(path => /\.test\.|^dist\/test\/|(?<!\.d)\.ts$/.test(path))
  demand(sources.length === 0, `the package has sources or tests: ${sources.join(', ')}`)
  demand(!files.some(path => path.startsWith('dist/pillion-')), 'the package has the single executable in it')
  for (const path of ['dist/pillion', 'dist/main.js', 'dist/main.d.ts'])
    demand(files.includes(path), `the package lacks ${path}; run npm run build`)

  for (const type of ['js', 'css'])
    demand(
      files.some(path => path.startsWith('dist/page/page-') && path.endsWith(`.${type}`)),
      `the package lacks the .${type} of the page; run npm run build`,
    )

  writeFileSync(join(clean, 'package.json'), '{"private": true}')
  npm(['install', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error', join(clean, filename)])
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  const said = run('npx', ['--no-install', 'pillion', 'version'])
  demand(said === `pillion ${version}\n`, `npx pillion version says ${JSON.stringify(said)}`)
  demand(!existsSync(join(clean, 'node_modules/typescript')), 'development packages are installed with it')
  await rides()
  const kilobytes = (bytes: number) => `${Math.round(bytes / 1024)} KiB`
  console.log(
    `${filename}: ${files.length} files, ${kilobytes(size)} packed, ${kilobytes(unpackedSize)} unpacked; it installs, runs and rides`,
  )
} finally {
  rmSync(clean, { recursive: true, force: true })
}

interface Packed {
  readonly filename: string
  readonly files: readonly string[]
  readonly size: number
  readonly unpackedSize: number
}

function pack(): Packed {
  const told = execFileSync('npm', ['pack', '--json', '--loglevel=error', '--pack-destination', clean], {
    cwd: ROOT,
    env,
    encoding: 'utf8',
  })
  // docs.npmjs.com/cli/commands/npm-pack: an array with one element for each package.
  const [packed] = JSON.parse(told) as {
    filename: string
    size: number
    unpackedSize: number
    files: { path: string }[]
  }[]
  if (!packed) throw new Error(`cannot pack: npm says ${told}`)
  return { ...packed, files: packed.files.map(({ path }) => path) }
}

/** `npx pillion run -- …`: the application starts, is seen, and its exit code comes back. */
async function rides(): Promise<void> {
  const port = await freePort()
  const listeners = ['--web.listen', String(port), '--otlp.http.listen', '0', '--otlp.grpc.listen', '0']
  const child = spawn('npx', ['--no-install', 'pillion', 'run', ...listeners, '--', 'sh', '-c', 'sleep 4; exit 5'], {
    cwd: clean,
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const exit = once(child, 'exit')
  const end = performance.now() + DEADLINE_MS
  let seen = false
  while (!seen && child.exitCode === null && performance.now() < end) {
    await new Promise(resolve => setTimeout(resolve, 100))
    const answer = await fetch(`http://127.0.0.1:${port}/metrics`).catch(() => undefined)
    seen = /^app_process_up(\{.*\})? 1$/m.test((await answer?.text()) ?? '')
  }
  const [code] = await exit
  demand(seen, 'npx pillion run does not show its application')
  demand(code === 5, `npx pillion run ends with ${code} and not with the 5 of its application`)
}

async function freePort(): Promise<number> {
  await using server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('cannot find a free port: no TCP address')
  return address.port
}

function npm(args: readonly string[]): void {
  run('npm', args, { stdio: ['ignore', 'inherit', 'inherit'] })
}

function run(program: string, args: readonly string[], more: ExecFileSyncOptions = {}): string {
  const said = execFileSync(program, args, { cwd: clean, env, stdio: ['ignore', 'pipe', 'inherit'], ...more })
  return said?.toString() ?? ''
}

function demand(claim: boolean, otherwise: string): void {
  if (!claim) throw new Error(`cannot ship: ${otherwise}`)
}
