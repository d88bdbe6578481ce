#!/usr/bin/env -S node --max-semi-space-size=1 --v8-pool-size=1 --heap-growing-percent=60
// The command line: reads the arguments, chooses what to do, and says how it went by the exit code. Everything is imported
// when it is needed: the Node version is judged before modules that an old one could not load, and help needs no parser.
//
// The flags above: spans are decoded without objects, so a young generation of 1 MiB costs them nothing (node bench/decode.ts),
// and 6 MiB less are resident; one thread beside the main one collects and compiles so little as fast as four do (bench rows
// intake-http and intake-grpc), and 3 MiB less are resident (test/e2e/built.test.ts). Left alone, V8 lets a heap of 12 MiB grow to 35
// before it collects all of it; from 20 on it makes no difference to those rows (collectors/otlp/body.ts for large bodies).

import type { CommandLine } from './options/commandline.ts'
import type { ConfigFile } from './options/file.ts'
import type { Problem } from './options/problems.ts'
import type { Reading } from './options/read.ts'
import type { Options } from './parts.ts'
import type { Source } from './sidecar.ts'
import { Stop } from './supervise/stop.ts'
import { ownVersion, unfit } from './version.ts'

const EXIT = { ok: 0, failure: 1, usage: 64, portTaken: 69, configuration: 78 } as const

const stop = new Stop()
const refusal = unfit(process.versions.node)
if (refusal) {
  process.stderr.write(`pillion: ${refusal}\n`)
  process.exitCode = EXIT.configuration
} else {
  // Not awaited: the single executable is a CommonJS module, which cannot wait here.
  void main(process.argv.slice(2)).then(code => {
    process.exitCode = code
  })
}

async function main(args: readonly string[]): Promise<number> {
  const { parts, settings } = await import('./parts.ts')
  const { parseCommandLine } = await import('./options/commandline.ts')
  const { Names } = await import('./options/names.ts')
  const line = parseCommandLine(args, new Names(settings))
  // Until it rides there is nothing to finish. Attached, to be stopped is its ordinary end, at whatever moment.
  stop.answer((_, code) => process.exit(line.command === '' ? EXIT.ok : code))
  if (line.command === 'help') return print((await import('./options/help.ts')).helpText(settings))
  switch (line.problems.length > 0 ? '' : line.command) {
    case 'version':
      return print(line.json ? `${JSON.stringify(about())}\n` : `pillion ${ownVersion()}\n`)
    case 'schema':
      return print(`${JSON.stringify((await import('./options/jsonschema.ts')).jsonSchema(settings), null, 2)}\n`)
    case 'metrics': {
      const catalogue = await import('./verbs/metrics.ts')
      return print(line.json ? catalogue.metricsJson(parts) : catalogue.metricsMarkdown(parts))
    }
    case 'dashboards':
      return write(async () =>
        (await import('./dashboards/print.ts')).printDashboards({ out: line.switches.get('out')?.at(-1) }),
      )
    case 'rules':
      return write(async () => (await import('./dashboards/print.ts')).printRules(ruleOptions(line)))
  }
  const file = await configFile(line)
  const reading = await configuration(line, file)
  if (!reading.ok) return refuse(reading.problems)
  // Not through process.stderr, which would make a pipe non-blocking that the application of `run` is going to inherit.
  const warn = (await import('./host/log.ts')).stderr()
  for (const warning of reading.warnings) warn(`pillion: warning: ${warning}\n`)
  switch (line.command) {
    case 'check':
      return print('the configuration is right\n')
    case 'print-config':
      return print((await import('./options/print.ts')).printConfig(settings, reading))
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
      return ride(reading.values, line.command === 'run' ? [...line.application] : undefined, {
        file: file && 'text' in file ? file.name : undefined,
        read: async () => configuration(line, await configFile(line, file !== undefined)),
      })
    }
  }
}

/**
 * The contract with sidecar.ts: `ride(options, stop, command?, source?)` starts the sidecar, and the application if there is a
 * command; it resolves with the exit code when all is over, and rejects if it cannot start. Nothing outlives it.
 */
async function ride(options: Options, command: string[] | undefined, source: Source): Promise<number> {
  try {
    // Not by the exit code alone: a client that holds its connection open would keep the process alive.
    process.exit(await (await import('./sidecar.ts')).ride(options, stop, command, source))
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

function refuse(problems: readonly Problem[]): number {
  process.stderr.write(problems.map(({ text }) => `${text}\n`).join(''))
  return problems.some(({ from }) => from === 'flag') ? EXIT.usage : EXIT.configuration
}

function ruleOptions({ switches }: CommandLine): { slo?: readonly string[]; runbooks?: string; grafana?: string } {
  const [slo, runbooks, grafana] = [
    switches.get('slo'),
    switches.get('runbooks')?.at(-1),
    switches.get('grafana')?.at(-1),
  ]
  return { ...(slo && { slo }), ...(runbooks && { runbooks }), ...(grafana && { grafana }) }
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
