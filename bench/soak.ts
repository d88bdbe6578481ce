// `npm run soak [-- --minutes N]`: the sidecar beside an application for twenty minutes, with all that happens to it
// otherwise in weeks: load, scrapes, reloads, restarts of the application, its own sudden deaths. Prints what was promised and what was
// measured, and ends with 1 if a promise was missed. A run of twenty minutes writes bench/soak.md. A short one has all of it in
// less time, and prints but does not judge what takes time to tell.

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
    /** A build to be used instead of one that is made now. */
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
// What is started is killed when this process exits, however that comes.
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
// The SDK that made the bodies was told how by variables, which are not for those that are started from here.
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
