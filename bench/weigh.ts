// The cost of loading each runtime package: resident memory and CPU of a fresh process, the median of five. Used by the row
// packages; `node bench/weigh.ts` prints the table of docs/dependencies.md.

import { spawnSync } from 'node:child_process'

const LOADED: Readonly<Record<string, readonly string[]>> = {
  'prom-client, the four files that are used': ['registry', 'counter', 'gauge', 'histogram'].map(
    file => `prom-client/lib/${file}.js`,
  ),
  'prom-client, whole': ['prom-client'],
  express: ['express'],
  pidusage: ['pidusage'],
  yaml: ['yaml'],
  re2js: ['re2js'],
  '@opentelemetry/api': ['@opentelemetry/api'],
  '@opentelemetry/exporter-trace-otlp-http': ['@opentelemetry/exporter-trace-otlp-http'],
  '@opentelemetry/sdk-node': ['@opentelemetry/sdk-node'],
}

const PROGRAM = `
const mebibytes = () => process.memoryUsage().rss / 2 ** 20
mebibytes()
const [rss, cpu] = [mebibytes(), process.cpuUsage()]
for (const name of process.argv.slice(1)) require(name)
const { user, system } = process.cpuUsage(cpu)
console.log(JSON.stringify([mebibytes() - rss, (user + system) / 1000]))`

for (const [name, modules] of Object.entries(LOADED)) {
  const runs = Array.from({ length: 5 }, () => weigh(modules)).sort(([a], [b]) => a - b)
  const [mebibytes, milliseconds] = runs[2]!
  console.log(
    `${name.padEnd(44)} ${mebibytes.toFixed(1).padStart(6)} MiB ${milliseconds.toFixed(0).padStart(5)} ms CPU`,
  )
}

function weigh(modules: readonly string[]): [number, number] {
  const { stdout } = spawnSync(process.execPath, ['--eval', PROGRAM, '--', ...modules], { encoding: 'utf8' })
  // PROGRAM prints exactly this pair.
  return JSON.parse(stdout) as [number, number]
}
