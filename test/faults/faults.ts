// The labelled fault set: applications in several languages are given faults, and the sidecar says what it thinks they were.
// Prints the confusion matrix, by request and by episode.
//
//   npm run faults -- [--runtimes node,java] [--requests 30] [--at 1,8] [--faults lock,disk]

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Counts, canBe, FAULTS, type Fault, RUNTIMES, type Runtime, Stand } from './harness.ts'

const { values } = parseArgs({
  options: {
    runtimes: { type: 'string', default: RUNTIMES.join() },
    faults: { type: 'string', default: ['none', ...FAULTS].join() },
    requests: { type: 'string', default: '30' },
    at: { type: 'string', default: '1,8' },
  },
})

interface Row {
  readonly runtime: Runtime
  readonly at: number
  readonly fault: Fault
  /** Milliseconds of a request. */
  readonly median: number
  readonly counts: Counts
  readonly episode: string
  readonly sentence: string
}

const folder = mkdtempSync(join(tmpdir(), 'pillion-faults-built-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
const apps = join(import.meta.dirname, 'apps')

/** The command that starts each application; undefined where its language is not here. */
function command(runtime: Runtime): readonly [string, ...string[]] | undefined {
  try {
    switch (runtime) {
      case 'node':
        return [process.execPath, join(apps, 'node.mjs')]
      case 'python':
        return [
          execFileSync('python3', ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' }).trim(),
          join(apps, 'python.py'),
        ]
      case 'java':
        execFileSync('javac', ['-d', folder, join(apps, 'App.java')], { stdio: 'ignore' })
        // Eight requests of the fault "gc" hold 500 MiB.
        return ['java', '-XX:+UseG1GC', '-Xmx768m', '-cp', folder, 'App']
      case 'go': {
        const go = join(execFileSync(join(import.meta.dirname, '../../.ci/go'), { encoding: 'utf8' }).trim(), 'go')
        execFileSync(go, ['build', '-o', join(folder, 'app'), join(apps, 'main.go')], { stdio: 'ignore' })
        return [join(folder, 'app')]
      }
    }
  } catch (error) {
    process.stderr.write(`${runtime} is left out: ${error instanceof Error ? error.message : error}\n`)
    return undefined
  }
}

async function measure(runtime: Runtime, at: number, start: readonly [string, ...string[]]): Promise<Row[]> {
  const rows: Row[] = []
  await using stand = await Stand.start(start)
  const count = Number(values.requests)
  await stand.requests(120, 'none', at)
  let before = await stand.counts()
  for (const fault of values.faults.split(',') as Fault[]) {
    if (fault !== 'none' && !canBe(runtime, fault)) continue
    await stand.requests(40, 'none', at)
    before = await stand.counts()
    stand.durations.length = 0
    await stand.requests(fault === 'none' ? 4 * count : count, fault, at)
    const after = await stand.counts()
    const counts = Object.fromEntries(
      Object.entries(after)
        .map(([cause, value]) => [cause, value - (before[cause] ?? 0)] as const)
        .filter(([, value]) => value > 0),
    )
    const slow = Object.values(counts).reduce((sum, each) => sum + each, 0)
    const episode = slow >= 5 ? await stand.episode() : undefined
    const median = Math.round(stand.durations.sort((a, b) => a - b)[stand.durations.length >> 1] ?? 0)
    rows.push({
      median,
      runtime,
      at,
      fault,
      counts,
      episode: episode?.cause.replace(/:.*/, '') ?? '',
      sentence: episode?.sentence ?? '',
    })
    process.stderr.write(`${JSON.stringify(rows.at(-1))}\n`)
  }
  return rows
}

function percent(part: number, whole: number): string {
  return whole === 0 ? '–' : `${Math.round((100 * part) / whole)} %`
}

function table(rows: readonly Row[]): string {
  const causes = [...new Set(rows.flatMap(({ counts }) => Object.keys(counts)))].sort()
  const head = ['injected', 'took, ms', 'slow', 'right', ...causes, 'episode']
  const lines = rows.map(({ fault, median, counts, episode }) => {
    const slow = Object.values(counts).reduce((sum, each) => sum + each, 0)
    const right = counts[fault === 'none' ? 'unexplained' : fault] ?? 0
    return [
      fault,
      String(median),
      String(slow),
      percent(right, slow),
      ...causes.map(cause => String(counts[cause] ?? '')),
      episode,
    ]
  })
  return [head, head.map(() => '---'), ...lines].map(cells => `| ${cells.join(' | ')} |`).join('\n')
}

for (const runtime of values.runtimes.split(',') as Runtime[]) {
  const start = command(runtime)
  if (!start) continue
  for (const at of values.at.split(',').map(Number)) {
    const rows = await measure(runtime, at, start)
    process.stdout.write(`\n### ${runtime}, ${at === 1 ? 'one at a time' : `${at} overlapping`}\n\n${table(rows)}\n`)
  }
}
