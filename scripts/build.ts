// `npm run build`: main.ts and what it imports become JavaScript in dist/, since Node does not strip types inside
// node_modules. What tsc does not promise is checked: no import still ends in .ts, and the result runs.

import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, cpSync, globSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const DIST = join(ROOT, 'dist')
const MAIN = join(DIST, 'main.js')

rmSync(DIST, { recursive: true, force: true })
const tsc = join(ROOT, 'node_modules/.bin/tsc')
const { status } = spawnSync(tsc, ['--project', 'tsconfig.build.json'], { cwd: ROOT, stdio: 'inherit' })
if (status !== 0) {
  console.error('cannot build: mend what tsc says')
  process.exit(1)
}

const files = globSync('**/*.js', { cwd: DIST })
const kept = files.flatMap(file => unrewritten(join(DIST, file)).map(specifier => `${file}: ${specifier}`))
if (kept.length > 0) throw new Error(`cannot ship imports of TypeScript:\n${kept.join('\n')}`)

const main = readFileSync(MAIN, 'utf8')
if (!main.startsWith('#!'))
  throw new Error('cannot ship dist/main.js: tsc has dropped its first line, which starts Node')
chmodSync(MAIN, 0o755)

// The program serves and writes the dashboards as they are committed; what generates them is not shipped.
cpSync(join(ROOT, 'dashboards/grafana'), join(DIST, 'dashboards/grafana'), { recursive: true })

const version = execFileSync(process.execPath, [MAIN, 'version'], { encoding: 'utf8' }).trim()
const bytes = files.reduce((sum, file) => sum + readFileSync(join(DIST, file)).length, 0)
console.log(`dist/: ${files.length} modules, ${Math.round(bytes / 1024)} KiB; node dist/main.js version: ${version}`)

/** Relative specifiers that still name TypeScript: in import and export statements, in import(…), in new URL(…). */
function unrewritten(file: string): string[] {
  const quoted = /(?:\bfrom|\bimport|\bimport\(|\bnew URL\()\s*(['"])(\.{1,2}\/[^'"]*\.[cm]?ts)\1/g
  return [...readFileSync(file, 'utf8').matchAll(quoted)].map(([, , specifier = '']) => specifier)
}
