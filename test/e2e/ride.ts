// The real sidecar as a process of its own, on free ports, asked the way Prometheus and operators ask it.

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Child, freePort, until } from './child.ts'

export const MAIN = fileURLToPath(new URL('../../main.ts', import.meta.url))
export const BUILT = fileURLToPath(new URL('../../dist/main.js', import.meta.url))

export const TEXT = 'text/plain;version=0.0.4'
export const OPENMETRICS = 'application/openmetrics-text;version=1.0.0'

export interface Ride extends AsyncDisposable {
  readonly child: Child
  /** Base URL of the web server. */
  readonly web: string
  /** Base URL of the OTLP/HTTP receiver. */
  readonly otlp: string
  /** Base URL of the OTLP/gRPC receiver. */
  readonly grpc: string
  scrape(accept?: string): Promise<string>
  /** The sum of all samples of `name` whose labels contain `labels`; undefined if there is none. */
  value(name: string, labels?: Readonly<Record<string, string>>): Promise<number | undefined>
}

export interface Way {
  /** Options, without those of the listeners. */
  readonly flags?: readonly string[]
  /** `run -- COMMAND` instead of attaching. */
  readonly command?: readonly string[]
  readonly main?: string
  readonly env?: NodeJS.ProcessEnv
  /** Comes before the command that starts it: another program that then becomes it. */
  readonly wrapper?: readonly string[]
}

/** The flags in the first line of a program, which apply if it is started by its name. */
export function nodeFlags(main: string): string[] {
  const [, flags = ''] = /^#!\/usr\/bin\/env -S node(.*)\n/.exec(readFileSync(main, 'utf8')) ?? []
  return flags.split(' ').filter(Boolean)
}

/** Starts the sidecar and waits until its web server answers. */
export async function startSidecar(way: Way = {}, tries = 3): Promise<Ride> {
  const { flags = [], command, main = MAIN, env, wrapper = [] } = way
  const [webPort, otlpPort, grpcPort] = [await freePort(), await freePort(), await freePort()]
  const listeners = [
    ...['--web.listen', `127.0.0.1:${webPort}`],
    ...['--otlp.http.listen', `127.0.0.1:${otlpPort}`],
    ...['--otlp.grpc.listen', `127.0.0.1:${grpcPort}`],
  ]
  const args = [main, ...(command ? ['run'] : []), ...listeners, ...flags, ...(command ? ['--', ...command] : [])]
  await using open = new AsyncDisposableStack()
  const [program = process.execPath, ...before] = [...wrapper, process.execPath]
  const child = open.use(await Child.start(program, [...before, ...nodeFlags(main), ...args], env))
  const web = `http://127.0.0.1:${webPort}`
  await until(`an answer of the web server ${web}`, async () => {
    if (!child.running) return 'ended'
    return (await fetch(`${web}/-/healthy`)).ok || undefined
  })
  // Another process, or an outgoing connection, may have taken the free port in the meantime.
  if (!child.running && (await child.ended).code === 69 && tries > 1) return startSidecar(way, tries - 1)
  if (!child.running) throw new Error(`the sidecar ended before it was ready:\n${child.stdout}${child.stderr}`)
  const all = open.move()

  const scrape = async (accept = TEXT): Promise<string> => {
    const response = await fetch(`${web}/metrics`, { headers: { accept } })
    if (!response.ok) throw new Error(`cannot scrape: ${response.status} ${await response.text()}`)
    return await response.text()
  }
  return {
    child,
    web,
    otlp: `http://127.0.0.1:${otlpPort}`,
    grpc: `http://127.0.0.1:${grpcPort}`,
    scrape,
    value: async (name, labels) => sum(await scrape(), name, labels),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

/** Runs the sidecar with arguments that end it by themselves. */
export async function runSidecar(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<Child> {
  await using open = new AsyncDisposableStack()
  const child = open.use(await Child.start(process.execPath, [MAIN, ...args], env))
  await until(`the end of pillion ${args.join(' ')}`, () => !child.running || undefined)
  open.move()
  return child
}

/** The sum of the samples of one metric in the text format; undefined if there is none. */
export function sum(text: string, name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
  let total: number | undefined
  for (const line of text.split('\n')) {
    const [, found, inner = '', value] = /^([^{ #]+)(?:\{(.*)\})? (\S+)/.exec(line) ?? []
    if (found !== name) continue
    if (!Object.entries(labels).every(([label, wanted]) => `,${inner}`.includes(`,${label}="${wanted}"`))) continue
    total = (total ?? 0) + Number(value)
  }
  return total
}
