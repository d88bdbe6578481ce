// The clients of other languages: their libraries are fetched once, into folders outside of the repository.

import { execFile, execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/** The first run fetches and compiles the libraries; later ones find them in the caches of their package managers. */
export const INSTALLING_MS = 8 * 60_000

const run = promisify(execFile)

/** The Python of a virtual environment with the packages in `python/requirements.txt`. */
export async function python(): Promise<string> {
  const wanted = source('python/requirements.txt')
  const venv = cache('python', wanted)
  const program = join(venv, 'bin/python')
  if (!done(venv)) {
    await installing('python3', ['-m', 'venv', venv])
    await installing(program, ['-m', 'pip', 'install', '--quiet', '--requirement', wanted])
    writeFileSync(join(venv, DONE), '')
  }
  return program
}

/** A program of the Go module, built. */
export async function go(name: 'client' | 'calls'): Promise<string> {
  // `go build` knows by itself what has changed.
  const program = join(cache('go', source('go/go.mod')), name)
  const place = name === 'client' ? '.' : './calls'
  await installing('go', ['build', '-C', source('go'), '-buildvcs=false', '-o', program, place])
  return program
}

/** A class path with the libraries in a pom.xml. */
export async function classPath(pom = source('java/pom.xml')): Promise<string> {
  const path = join(cache('java', pom), 'classpath')
  await installing('mvn', [
    '--quiet',
    '--batch-mode',
    '--file',
    pom,
    'dependency:build-classpath',
    `-Dmdep.outputFile=${path}`,
  ])
  return readFileSync(path, 'utf8')
}

/** The arguments of `java` for a program of ours, compiled. */
export async function compiled(program: 'Calls'): Promise<readonly string[]> {
  const libraries = await classPath()
  const classes = join(cache('java', source(`java/${program}.java`)), 'classes')
  await installing('javac', ['-cp', libraries, '-d', classes, source(`java/${program}.java`)])
  return ['-cp', `${classes}:${libraries}`, program]
}

/** The program of the Rust crate, built. */
export async function rust(): Promise<string> {
  const folder = cache('rust', source('rust/Cargo.lock'))
  const manifest = ['--manifest-path', source('rust/Cargo.toml')]
  await installing('cargo', ['build', '--quiet', '--locked', '--release', ...manifest, '--target-dir', folder])
  return join(folder, 'release/calls')
}

/** tonic needs Rust 1.88; Debian's is older, so another way to install it is named. */
export function oldCargo(): string | false {
  const version = /^cargo 1\.(\d+)/.exec(execFileSync('cargo', ['--version'], { encoding: 'utf8' }))?.[1]
  return Number(version) >= 88 ? false : `needs Rust 1.88 or newer, not 1.${version}: rustup update stable`
}

/** From Go 1.21 on, the release that a module needs is fetched automatically. */
export function oldGo(): string | false {
  const version = execFileSync('go', ['env', 'GOVERSION'], { encoding: 'utf8' }).trim()
  return Number(version.split('.')[1]) >= 21 ? false : `needs Go 1.21 or newer, not ${version}: PATH=$(.ci/go):$PATH`
}

export function source(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url))
}

const DONE = '.complete'

/** A folder outside the repository for the packages of this list of versions. */
export function cache(language: string, list: string): string {
  const key = createHash('sha256').update(readFileSync(list)).digest('hex').slice(0, 12)
  const folder = join(tmpdir(), 'pillion-interop', `${language}-${key}`)
  mkdirSync(folder, { recursive: true })
  return folder
}

function done(folder: string): boolean {
  try {
    readFileSync(join(folder, DONE))
    return true
  } catch {
    return false
  }
}

export async function installing(command: string, args: readonly string[]): Promise<void> {
  // These must not inherit tap's NODE_OPTIONS and the like.
  await run(command, [...args], { timeout: INSTALLING_MS, killSignal: 'SIGKILL', maxBuffer: 16 * 1024 * 1024 })
}
