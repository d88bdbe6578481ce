// `node scripts/image.ts`: builds the Dockerfile without a container engine, with buildah alone, and prints the size of the
// image. The base images that a registry would deliver are made here: Debian's smallest system by debootstrap, and the Node
// that the repository brings. Needs root, or sudo. The results are kept in the user's cache folder.
//   apt-get install buildah debootstrap

import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildah, IMAGE, STORE } from './image/store.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const SUITE = 'bookworm'
const BASE = `localhost/pillion-base:${SUITE}-${process.versions.node}`
const BUILD = `localhost/pillion-build:${SUITE}-${process.versions.node}-npm${output('npm', ['--version']).trim()}-gcc`

const scratch = mkdtempSync(join(tmpdir(), 'pillion-image-'))
try {
  mkdirSync(STORE, { recursive: true })
  if (!exists(BASE)) makeBase()
  if (!exists(BUILD)) makeBuildBase()
  build()
  report()
} finally {
  rmSync(scratch, { recursive: true, force: true })
}

function exists(name: string): boolean {
  return buildah(['images', '--quiet', '--filter', `reference=${name}`]).trim() !== ''
}

function makeBase(): void {
  const folder = system('base')
  writeFileSync(join(scratch, 'Base'), 'FROM scratch\nCOPY . /\n')
  buildah(['bud', '--format', 'docker', '--tag', BASE, '--file', join(scratch, 'Base'), folder], 'show')
}

/** The same with npm and a C compiler, for the stages that build. */
function makeBuildBase(): void {
  const folder = system('build', 'gcc,libc6-dev')
  const npm = dirname(dirname(realpathSync(output('which', ['npm']).trim())))
  cpSync(npm, join(folder, 'usr/local/lib/node_modules/npm'), { recursive: true, verbatimSymlinks: true })
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(folder, 'usr/local/bin/npm'))
  writeFileSync(join(scratch, 'Build'), 'FROM scratch\nCOPY . /\n')
  buildah(['bud', '--format', 'docker', '--tag', BUILD, '--file', join(scratch, 'Build'), folder], 'show')
}

/** Debian's `minbase` with Node and these packages, without manuals and other files for interactive use; its folder. */
function system(name: string, packages?: string): string {
  const folder = join(scratch, name)
  const include = packages === undefined ? [] : [`--include=${packages}`]
  show('debootstrap', ['--variant=minbase', ...include, SUITE, folder, mirror()])
  for (const part of ['usr/share/doc', 'usr/share/man', 'usr/share/locale', 'var/cache/apt', 'var/lib/apt/lists'])
    rmSync(join(folder, part), { recursive: true, force: true })
  cpSync(realpathSync(process.execPath), join(folder, 'usr/local/bin/node'))
  return folder
}

/** The source of this machine's Debian packages: the first archive of the suite that apt knows. */
function mirror(): string {
  const targets = output('apt-get', ['indextargets', '--format', '$(RELEASE) $(REPO_URI)', 'Created-By: Packages'])
  const [, url] = new RegExp(`^${SUITE} (\\S+)$`, 'm').exec(targets) ?? []
  if (!url) throw new Error(`cannot find Debian ${SUITE} among the sources of apt; add its main archive`)
  return url
}

/**
 * npm in the build stages uses this machine's registry and npm cache, so that the Dockerfile names no host and packages that
 * `npm ci` has fetched before are not fetched again. Docker's format, since OCI's has no HEALTHCHECK.
 */
function build(): void {
  const npmrc = join(scratch, 'npmrc')
  writeFileSync(npmrc, `registry=${output('npm', ['config', 'get', 'registry']).trim()}\nprefer-offline=true\n`)
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  const commit = ['-C', ROOT, 'show', '--no-patch', '--format=%H %cI', 'HEAD']
  const [revision = '', created = ''] = output('git', commit).trim().split(' ')
  const args = { BASE_IMAGE: BASE, BUILD_IMAGE: BUILD, VERSION: version, REVISION: revision, CREATED: created }
  const certificates = ['/etc/ssl/certs:/etc/ssl/certs:ro', '/usr/share/ca-certificates:/usr/share/ca-certificates:ro']
  const volumes = [`${output('npm', ['config', 'get', 'cache']).trim()}:/root/.npm`, `${npmrc}:/root/.npmrc:ro`]
  buildah(
    [
      ...['bud', '--format', 'docker', '--pull-never', '--tag', IMAGE],
      ...Object.entries(args).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]),
      ...[...volumes, ...certificates].flatMap(volume => ['--volume', volume]),
      ROOT,
    ],
    'show',
  )
  buildah(['rmi', '--prune', '--force'])
}

interface Manifest {
  readonly layers: readonly { readonly size: number }[]
}

/** Sizes as they are on disk, uncompressed; a registry transfers about a third. */
function report(): void {
  const folder = join(scratch, 'pushed')
  buildah(['push', '--disable-compression', IMAGE, `dir:${folder}`])
  // The format is Docker's image manifest, version 2, schema 2.
  const { layers } = JSON.parse(output('cat', [join(folder, 'manifest.json')])) as Manifest
  const [base = 0, ...own] = layers.map(({ size }) => size)
  console.log(`\n${IMAGE}: ${mebibytes(base + own.reduce((sum, size) => sum + size, 0))} in ${layers.length} layers`)
  console.log(`  ${mebibytes(base)}  base: Debian ${SUITE} minbase with Node ${process.versions.node}`)
  for (const size of own)
    console.log(`  ${mebibytes(size)}  Pillion: dist, runtime packages, licence, bill of materials`)
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`
}

function output(program: string, args: readonly string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
}

function show(program: string, args: readonly string[]): void {
  execFileSync(program, args, { stdio: ['ignore', 'inherit', 'inherit'] })
}
