// `npm ci` on a machine with only Debian's Node must install exact versions of all packages, and a Node of its own.

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { Child } from './child.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

interface Lock {
  readonly packages: Readonly<Record<string, Manifest & { readonly resolved?: string; readonly link?: boolean }>>
}

// Both files have these shapes: docs.npmjs.com/cli/configuring-npm/package-lock-json.
const manifest = (path: string) => JSON.parse(readFileSync(ROOT + path, 'utf8')) as Manifest
const lock = JSON.parse(readFileSync(`${ROOT}package-lock.json`, 'utf8')) as Lock

t.test('tests run on the Node that the repository brings', async t => {
  t.equal(process.version, `v${manifest('package.json').devDependencies?.['node']}`)
})

t.test('scripts run on it as well, whatever Node is first on the PATH', async t => {
  const script = 'node --version && command -v node'
  await using npm = await Child.start(
    'npm',
    ['exec', '--call', script],
    { PATH: `/usr/bin:${process.env['PATH']}` },
    ROOT,
  )
  t.same(await npm.ended, { code: 0, signal: null }, npm.stderr)
  t.same(npm.stdout.trim().split('\n'), [process.version, `${ROOT}node_modules/.bin/node`])
})

t.test('every dependency has one exact version', async t => {
  const exact = /^(npm:@?[^@]+@)?\d+\.\d+\.\d+(-[\w.]+)?$/
  for (const path of ['package.json', 'examples/shop/package.json']) {
    const { dependencies, devDependencies } = manifest(path)
    for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies }))
      t.match(version, exact, `${path}: ${name}`)
  }
})

t.test('the lock file names no registry', async t => {
  const hosts = Object.entries(lock.packages).filter(([, { resolved, link }]) => resolved !== undefined && !link)
  t.same(hosts, [])
})

t.test('the lock file has every package that another one names, or npm ci would refuse it', async t => {
  const absent: string[] = []
  for (const [path, { dependencies, optionalDependencies }] of Object.entries(lock.packages))
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies }))
      if (!places(path).some(place => `${place}node_modules/${name}` in lock.packages)) absent.push(`${path}: ${name}`)
  t.same(absent, [])
})

/** The folders in which Node looks for the imports of the package at `path`: beside it, and beside each of its parents. */
function places(path: string): string[] {
  const parts = path.split('node_modules/')
  return [`${path}/`, ...parts.map((_, depth) => parts.slice(0, depth).join('node_modules/')), '']
}
