// A server under measurement: a process of its own, on free ports of the loopback, started as its users start it.

import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { cpuSeconds } from './machine.ts'

export const BUILT = fileURLToPath(new URL('../dist/main.js', import.meta.url))

export interface Server extends AsyncDisposable {
  readonly name: string
  readonly pid: number
  readonly process: ChildProcess
  readonly http: number
  readonly grpc: number
  /** The port that answers GET /metrics. */
  readonly metrics: number
  /** From the start of the process to its first answer: wall-clock seconds, and CPU seconds. */
  readonly start: { readonly seconds: number; readonly cpu: number }
  /** Its exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>
  /** The end of its standard error. */
  said(): string
}

export interface Launch {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly ports: { readonly http: number; readonly grpc: number; readonly metrics: number }
  /** Must be answered with 200 before the server counts as started. */
  readonly ready: string
  /** Any answer will do. */
  readonly anyStatus?: boolean
  readonly env?: NodeJS.ProcessEnv
  /** Lets the process be sent messages. */
  readonly ipc?: boolean
  /** Comes before the command: another program that then becomes it. */
  readonly wrapper?: readonly string[]
}

const DEADLINE_MS = 20_000

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const each of running) each.kill('SIGKILL')
})

export async function launch({
  name,
  command,
  args,
  ports,
  ready,
  anyStatus = false,
  env,
  ipc,
  wrapper = [],
}: Launch): Promise<Server> {
  const begin = performance.now()
  const [program = command, ...before] = [...wrapper, command]
  const child = spawn(program, [...before, ...args], {
    stdio: ['ignore', 'ignore', 'pipe', ...(ipc ? ['ipc' as const] : [])],
    env: { ...process.env, ...env },
  })
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-4000)
  })
  const ended = once(child, 'exit').then(([code, signal]) => signal ?? code)
  await once(child, 'spawn')
  running.add(child)
  void ended.then(() => running.delete(child))
  while (!(await answers(ready, anyStatus))) {
    if (child.exitCode !== null) throw new Error(`${name} ended before it was ready:\n${stderr}`)
    if (performance.now() - begin > DEADLINE_MS) throw new Error(`${name} is not ready at ${ready}:\n${stderr}`)
    await sleep(3)
  }
  const pid = child.pid!
  return {
    name,
    pid,
    process: child,
    ...ports,
    start: { seconds: (performance.now() - begin) / 1000, cpu: cpuSeconds(pid) },
    ended,
    said: () => stderr,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

async function answers(url: string, anyStatus: boolean): Promise<boolean> {
  try {
    const response = await fetch(url)
    await response.arrayBuffer()
    return response.ok || anyStatus
  } catch {
    return false
  }
}

/** The flags in the first line of a program, which apply if it is started by its name. */
export function nodeFlags(main: string): string[] {
  const [, flags = ''] = /^#!\/usr\/bin\/env -S node(.*)\n/.exec(readFileSync(main, 'utf8')) ?? []
  return flags.split(' ').filter(Boolean)
}

/** The built sidecar, with the Node and the flags that its first line names. */
export async function pillion(
  flags: readonly string[] = [],
  more: { name?: string; preload?: string; main?: string | undefined; wrapper?: readonly string[] } = {},
): Promise<Server> {
  const { main = BUILT } = more
  const ports = { http: await freePort(), grpc: await freePort(), metrics: await freePort() }
  const listeners = [
    ...['--web.listen', `127.0.0.1:${ports.metrics}`],
    ...['--otlp.http.listen', `127.0.0.1:${ports.http}`],
    ...['--otlp.grpc.listen', `127.0.0.1:${ports.grpc}`],
  ]
  return await launch({
    name: more.name ?? 'Pillion',
    command: process.execPath,
    args: [
      ...nodeFlags(main),
      ...(more.preload ? ['--import', more.preload] : []),
      main,
      ...listeners,
      ...['--log.level', 'error'],
      ...flags,
    ],
    ports,
    ready: `http://127.0.0.1:${ports.metrics}/-/healthy`,
    ipc: more.preload !== undefined,
    ...(more.wrapper && { wrapper: more.wrapper }),
  })
}

/** A free port below the range from which the kernel chooses ports of connections, one of which could take it first. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const port = 20_000 + randomInt(12_000)
    const server = createServer()
    const free = await new Promise<boolean>(resolve => {
      server.on('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!free) continue
    await new Promise(resolve => server.close(resolve))
    return port
  }
  throw new Error('cannot find a free port from 20 000 to 32 000')
}

export async function scrape(server: Server, accept = 'text/plain;version=0.0.4'): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${server.metrics}/metrics`, { headers: { accept } })
  if (!response.ok) throw new Error(`cannot scrape ${server.name}: ${response.status}`)
  return await response.text()
}
