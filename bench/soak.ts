// `npm run soak [-- --minutes N]`: the sidecar beside an application for twenty minutes, with everything that otherwise happens
// in weeks: load, scrapes, reloads, restarts of the application, and SIGKILL. Prints each promise with the measured figure, and
// ends with 1 if one was not kept. A run of twenty minutes writes bench/soak.md. A shorter run does the same in less time; it
// prints the figures that need more time, but does not judge them.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { bodies } from './bodies.ts'
import { packBodies } from './load.ts'
import { commit, machine } from './machine.ts'
import { BUILT } from './server.ts'
import { promises, report } from './soak/report.ts'
import { soak } from './soak/run.ts'

const FULL_MINUTES = 20
const SPANS = 100
const BODIES = 16
const REPORT = fileURLToPath(new URL('soak.md', import.meta.url))
const BUILD = fileURLToPath(new URL('../scripts/build.ts', import.meta.url))

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: String(FULL_MINUTES) },
    /** A build to use instead of making one. */
    main: { type: 'string' },
  },
})
const minutes = Number(values.minutes)
if (!(minutes >= 0.3)) {
  console.error(`cannot soak for ${values.minutes} minutes; 0.3 is the least`)
  process.exit(64)
}

if (!values.main) execFileSync(process.execPath, [BUILD], { stdio: 'ignore' })
const folder = mkdtempSync(join(tmpdir(), 'pillion-soak-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
// The processes started here are killed when this process exits, for whatever reason.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(1))
const late = setTimeout(
  () => {
    console.error(`still not at the end after ${minutes + 5} minutes`)
    process.exit(1)
  },
  (minutes + 5) * 60_000,
)

const file = join(folder, 'bodies.bin')
writeFileSync(file, packBodies(await bodies(SPANS, BODIES)))
// The SDK that made the bodies was configured by variables, which the processes started from here must not inherit.
for (const name of Object.keys(process.env)) if (/^(OTEL|PILLION)_/.test(name)) delete process.env[name]

const revision = commit()
const began = new Date()
const load = [loadavg()[0]!]
const loads = setInterval(() => load.push(loadavg()[0]!), 60_000)
const soaked = await soak({
  ...{ minutes, folder, bodies: file, main: values.main ?? BUILT },
  progress: line => console.log(`${new Date().toISOString().slice(11, 19)} ${line}`),
})
clearInterval(loads)
clearTimeout(late)

const list = promises(soaked)
const text = `# The soak

<!-- Written by \`npm run soak\`. -->

- ${machine()}, load ${Math.min(...load).toFixed(1)} to ${Math.max(...load).toFixed(1)}, of which the soak itself is a part
- Node ${process.versions.node}; commit ${revision}; ${began.toISOString().slice(0, 16)}Z, ${soaked.minutes.toFixed(1)} minutes

${report(soaked, list)}
`
console.log(`\n${text}`)
if (minutes >= FULL_MINUTES) writeFileSync(REPORT, text)
process.exit(list.some(({ holds, judged }) => judged && !holds) ? 1 : 0)
