#!/usr/bin/env -S node --max-semi-space-size=1 --v8-pool-size=1 --heap-growing-percent=60 --no-maglev --no-opt
// The command line: reads the arguments, chooses what to do, and says how it went by the exit code. Everything is imported
// when it is needed: the Node version is judged before modules that an old one could not load, and help needs no parser.
//
// The flags above: spans are decoded without objects, so a young generation of 1 MiB costs them nothing (node bench/decode.ts),
// and 6 MiB less are resident; one thread beside the main one collects and compiles so little as fast as four do (bench rows
// intake-http and intake-grpc), and 3 MiB less are resident (test/e2e/built.test.ts). Left alone, V8 lets a heap of 12 MiB grow to 35
// before it collects all of it; from 20 on it makes no difference to those rows (host/heap.ts for large bodies). Without the
// compiler in the middle, Maglev, 6 MiB less are resident under load and the rows are the same; the optimizing one is used from
// the first load on (host/optimize.ts). docs/decisions/0039-resident-memory.md has what was measured.

import { resolve } from 'node:path'
import type { BoardOptions, RuleSwitches } from './dashboards/print.ts'
import type { CommandLine } from './options/commandline.ts'
import type { ConfigFile } from './options/file.ts'
import type { Problem } from './options/problems.ts'
import type { Reading } from './options/read.ts'
import type { Options } from './parts.ts'
import type { Command } from './sidecar/ride.ts'
import type { Source } from './sidecar.ts'
import { Stop } from './supervise/stop.ts'
import { ownVersion, unfit } from './version.ts'

const RIGHT = 'the configuration is right'

const EXIT = { ok: 0, failure: 1, usage: 64, portTaken: 69, configuration: 78 } as const

const stop = new Stop()
const refusal = unfit(process.versions.node)
if (refusal) {
  process.stderr.write(`pillion: ${refusal}\n`)
  process.exitCode = EXIT.configuration
} else {
  // Not awaited: the single executable is a CommonJS module, which cannot wait here.
  void main(process.argv.slice(2)).then(async code => {
    process.exitCode = code
    // The launcher waits to be told what to do, also after a failure.
    if (launchedToExec()) (await import('./supervise/handover.ts')).handOver(`exit ${code}`)
  })
}

async function main(args: readonly string[]): Promise<number> {
  // Started by a sidecar, which has read the options: nothing of the rest is loaded.
  const given = args[0] === 'tap' ? process.env['_PILLION_TAP'] : undefined
  if (given !== undefined) return tap(given)
  const { parts, settings } = await import('./parts.ts')
  const { parseCommandLine } = await import('./options/commandline.ts')
  const { Names } = await import('./options/names.ts')
  const line = parseCommandLine(args, new Names(settings))
  // Until it rides there is nothing to finish. If it is attached, being stopped is its ordinary end, at any moment.
  stop.answer((_, code) => process.exit(line.command === '' ? EXIT.ok : code))
  if (line.command === 'help') return help(line)
  switch (line.problems.length > 0 ? '' : line.command) {
    case 'version':
      return print(line.json ? `${JSON.stringify(about())}\n` : `pillion ${ownVersion()}\n`)
    case 'schema':
      return print(`${JSON.stringify((await import('./options/jsonschema.ts')).jsonSchema(settings), null, 2)}\n`)
    case 'metrics': {
      const catalogue = await import('./verbs/metrics.ts')
      return print(line.json ? catalogue.metricsJson(parts) : catalogue.metricsMarkdown(parts))
    }
    case 'flight':
      return show(line.file ?? '', line.json)
    case 'dashboards':
      return write(async () => (await import('./dashboards/print.ts')).printDashboards(boardOptions(line)))
  }
  const file = await configFile(line)
  const reading = await configuration(line, file)
  if (!reading.ok) return refuse(reading.problems)
  // Not through process.stderr, which would make a pipe non-blocking that the application of `run` is going to inherit.
  const warn = (await import('./host/log.ts')).stderr()
  for (const warning of reading.warnings) warn(`pillion: warning: ${warning}\n`)
  if (!file && process.getBuiltinModule('node:fs').existsSync('pillion.yml'))
    warn('pillion: warning: pillion.yml is not read; rename it to pillion.yaml, or name it with --config\n')
  switch (line.command) {
    case 'check':
      return print(file && 'text' in file ? `${resolve(file.name)}: ${RIGHT}\n` : `${RIGHT}; no file was read\n`)
    case 'rules':
      return write(async () =>
        (await import('./dashboards/print.ts')).printRules(ruleOptions(line), reading.values.spans),
      )
    case 'print-config':
      return print((await import('./options/print.ts')).printConfig(settings, reading))
    case 'tap':
      return tap(reading.values)
    case 'healthcheck': {
      const answer = await (await import('./verbs/healthcheck.ts')).askReady(reading.values.web, {
        cert: line.switches.get('cert')?.at(-1),
        key: line.switches.get('key')?.at(-1),
      })
      process.stderr.write(answer.ready ? '' : `pillion: not ready: ${answer.text}\n`)
      return answer.ready ? EXIT.ok : EXIT.failure
    }
    default: {
      const { hide } = await import('./host/process.ts')
      hide(process.argv, line.flags)
      const { command: verb, application: words } = line
      return ride(reading.values, verb === 'run' || verb === 'exec' ? { verb, words } : undefined, {
        file: file && 'text' in file ? file.name : undefined,
        origins: reading.origins,
        read: async () => configuration(line, await configFile(line, file !== undefined)),
      })
    }
  }
}

async function help({ all, topic }: CommandLine): Promise<number> {
  const { firstOptions, settings } = await import('./parts.ts')
  const { helpText, topicHelp, wholeHelp } = await import('./options/help.ts')
  if (all) return print(wholeHelp(settings))
  if (topic === undefined) return print(helpText(settings, firstOptions))
  const found = topicHelp(settings, topic)
  if (found.ok) return print(found.text)
  process.stderr.write(`${found.message}\n`)
  return EXIT.usage
}

/**
 * The contract with sidecar/ride.ts: `ride(options, stop, command?, source?)` starts the sidecar, and the application if there is a
 * command; it resolves with how this process is to end when all is over, and rejects if it cannot start.
 */
async function ride(options: Options, command: Command | undefined, source: Source): Promise<number> {
  try {
    const how = await (await import('./sidecar/ride.ts')).ride(options, stop, command, source)
    if (launchedToExec()) (await import('./supervise/handover.ts')).handOver(`exit ${how.code}`)
    // Not by the exit code alone: a client that holds its connection open would keep the process alive.
    return (await import('./supervise/ended.ts')).leave(how)
  } catch (error) {
    process.stderr.write(`pillion: ${error instanceof Error ? error.message : error}\n`)
    return portTaken(error) ? EXIT.portTaken : EXIT.failure
  }
}

/** Resolves when the tap has ended. `given` is what a sidecar has passed on to it, or the options. */
async function tap(given: string | Options): Promise<number> {
  try {
    const code = await (await import('./verbs/tap.ts')).tap(given, stop)
    // Not by the exit code alone: what is still open would keep the process alive.
    return (await import('./supervise/ended.ts')).leave({ code, signal: undefined })
  } catch (error) {
    process.stderr.write(`pillion: ${error instanceof Error ? error.message : error}\n`)
    return portTaken(error) ? EXIT.portTaken : EXIT.failure
  }
}

/** Reads all sources; what is wrong with the arguments is told together with what is wrong in the file. */
async function configuration(
  line: CommandLine,
  file: ConfigFile | undefined | { readonly problem: string },
): Promise<Reading<Options>> {
  const { readOptions } = await import('./parts.ts')
  const bad = file && 'problem' in file ? [{ from: 'file', text: file.problem } as const] : []
  const reading = await readOptions({
    flags: line.flags,
    environment: process.env,
    file: file && 'text' in file ? file : undefined,
  })
  const problems = [...line.problems, ...bad, ...(reading.ok ? [] : reading.problems)]
  return problems.length > 0 ? { ok: false, problems } : reading
}

/** `needed`: it was there before, so that its absence is a mistake and not a wish for the defaults. */
async function configFile(
  line: CommandLine,
  needed = false,
): Promise<ConfigFile | undefined | { readonly problem: string }> {
  const { openFile } = await import('./options/file.ts')
  const { CONFIG_VARIABLE } = await import('./options/environment.ts')
  const named = line.config || process.env[CONFIG_VARIABLE]
  const opened = await openFile(named || 'pillion.yaml')
  if (opened || !(named || needed)) return opened
  if (!named) return { problem: 'pillion.yaml: the file has vanished; restart the sidecar to go on without it' }
  return { problem: `${named}: there is no such file; check --config and ${CONFIG_VARIABLE}` }
}

function launchedToExec(): boolean {
  return process.argv[2] === 'exec' && process.env['_PILLION_LAUNCH'] !== undefined
}

function refuse(problems: readonly Problem[]): number {
  process.stderr.write(problems.map(({ text }) => `${text}\n`).join(''))
  return problems.some(({ from }) => from === 'flag') ? EXIT.usage : EXIT.configuration
}

function boardOptions({ switches, kubernetes }: CommandLine): BoardOptions {
  const last = (name: 'out' | 'prometheus' | 'tempo') => switches.get(name)?.at(-1)
  return {
    out: last('out'),
    kubernetes,
    sidecars: switches.get('sidecar'),
    prometheus: last('prometheus'),
    tempo: last('tempo'),
  }
}

function ruleOptions({ switches, kubernetes }: CommandLine): RuleSwitches {
  const last = (name: 'runbooks' | 'grafana' | 'format') => switches.get(name)?.at(-1)
  const format = last('format') ?? (kubernetes ? 'kubernetes' : undefined)
  return { slo: switches.get('slo'), runbooks: last('runbooks'), grafana: last('grafana'), format }
}

/** Prints what is made, or says why it cannot be: an objective that cannot be read, a folder that cannot be written. */
async function write(make: () => Promise<string>): Promise<number> {
  try {
    return print(await make())
  } catch (error) {
    process.stderr.write(`pillion: ${error instanceof Error ? error.message : error}\n`)
    return error instanceof Error && 'code' in error ? EXIT.failure : EXIT.usage
  }
}

/** Prints a flight record, or says why it cannot be read. */
async function show(file: string, json: boolean): Promise<number> {
  try {
    return print(await (await import('./exporter/flight.ts')).showFlight(file, json))
  } catch (error) {
    process.stderr.write(`pillion: ${error instanceof Error ? error.message : error}\n`)
    return EXIT.failure
  }
}

function print(text: string): number {
  // `pillion metrics | head` closes the pipe early, which is no failure of ours.
  process.stdout.on('error', error => {
    if (!('code' in error) || error.code !== 'EPIPE') throw error
  })
  process.stdout.write(text)
  return EXIT.ok
}

function about(): Record<string, string> {
  return {
    name: 'pillion',
    version: ownVersion(),
    node: process.versions.node,
    platform: process.platform,
    arch: process.arch,
  }
}

function portTaken(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return ('code' in error && error.code === 'EADDRINUSE') || portTaken(error.cause)
}
