// grok-js as a reader of access logs: its pattern for the combined format divides each line, and requests are counted by method
// and status, with a histogram of their durations, in prom-client. `node grok.ts FOLDER FILE` reads a file; with `grok` it is run.
//
// The package is installed into a folder of its own, since nothing of Pillion uses it. It names a dependency by its repository;
// the released package of that name is put in its place. Its engine (Oniguruma) is compiled, with the headers of this Node.

import { execFile, spawnSync } from 'node:child_process'
import { createReadStream, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'

const VERSION = '3.3.1'
const NODE = process.versions.node
const FOLDER = join(
  process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'),
  'pillion',
  `grok-js-${VERSION}-node-${NODE}`,
)
const BUILT = join(FOLDER, 'node_modules/oniguruma/build/Release/onig_scanner.node')
const PATTERN = '%{COMBINEDAPACHELOG} %{NUMBER:took}'

/** Installs the package if it is not there; false if that cannot be done here. */
export function fetchGrok(): boolean {
  if (existsSync(BUILT)) return true
  const headers = `node-${process.platform}-${process.arch}`
  mkdirSync(FOLDER, { recursive: true })
  const manifest = {
    private: true,
    dependencies: { 'grok-js': VERSION, [headers]: NODE },
    overrides: { 'grok-js': { collections: '5.1.13' } },
  }
  writeFileSync(join(FOLDER, 'package.json'), JSON.stringify(manifest))
  const npm = (...args: readonly string[]) => spawnSync('npm', args, { cwd: FOLDER }).status === 0
  return (
    npm('install', '--ignore-scripts', '--no-audit', '--no-fund') &&
    npm('rebuild', 'oniguruma', `--nodedir=${join(FOLDER, 'node_modules', headers)}`) &&
    existsSync(BUILT)
  )
}

/** The CPU seconds for which it reads a file of so many requests. */
export async function grok(file: string, lines: number): Promise<number> {
  const { stdout } = await promisify(execFile)(process.execPath, [import.meta.filename, FOLDER, file])
  const { counted, seconds }: Read = JSON.parse(stdout)
  if (counted !== lines) throw new Error(`grok-js read ${counted} of ${lines} requests`)
  return seconds
}

interface Read {
  readonly counted: number
  readonly seconds: number
}

interface Pattern {
  parseSync(line: string): Readonly<Record<string, string>> | null
}

if (import.meta.main) {
  const { Counter, Histogram, Registry } = await import('prom-client')
  const [folder, file] = process.argv.slice(2)
  const { loadDefaultSync }: { loadDefaultSync(): { createPattern(text: string): Pattern } } = createRequire(
    join(folder!, 'package.json'),
  )('grok-js')
  const pattern = loadDefaultSync().createPattern(PATTERN)
  const registry = new Registry()
  const family = (name: string, labelNames: string[]) => ({ name, help: name, labelNames, registers: [registry] })
  const requests = new Counter(family('requests', ['method', 'code']))
  const lasted = new Histogram(family('seconds', ['method']))
  let counted = 0
  for await (const line of createInterface({ input: createReadStream(file!) })) {
    const read = pattern.parseSync(line)
    if (!read) continue
    counted++
    requests.inc({ method: read['verb'], code: read['response'] })
    lasted.observe({ method: read['verb'] }, Number(read['took']))
  }
  const { user, system } = process.cpuUsage()
  console.log(JSON.stringify({ counted, seconds: (user + system) / 1e6 } satisfies Read))
}
