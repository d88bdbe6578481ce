// `pillion run`: the application is our child, from before its start to after its end.

import { isatty } from 'node:tty'
import { clock } from '../host/clock.ts'
import { stderr } from '../host/log.ts'
import { TerminalWriter } from '../host/terminal.ts'
import type { Options } from '../parts.ts'
import type { Source } from '../sidecar.ts'
import { refusal, restores } from '../supervise/command.ts'
import { childrenCpuSeconds, type Ended, ending } from '../supervise/ended.ts'
import { applicationEnvironment } from '../supervise/environment.ts'
import { identity } from '../supervise/handover.ts'
import { orphansWarning } from '../supervise/init.ts'
import { origin } from '../supervise/launch.ts'
import { Memory } from '../supervise/memory.ts'
import { serviceName } from '../supervise/name.ts'
import type { Stop } from '../supervise/stop.ts'
import { jobOf } from '../supervise/terminal.ts'
import { supervise } from '../supervise.ts'
import type { Outcome } from '../telemetry/host.ts'
import { announce, tellLater, warning } from './announce.ts'
import { become, linger } from './become.ts'
import { startOpenable } from './openable.ts'
import { type Outside, outside } from './outside.ts'

export async function run(options: Options, stop: Stop, words: readonly string[], source?: Source): Promise<Ended> {
  const terminal = isatty(2) ? new TerminalWriter(stderr(), inForeground) : undefined
  const around = outside(options, terminal ? text => terminal.write(text) : stderr())
  const how = await along(options, stop, words, source, around, async () => terminal?.settled())
  await terminal?.settled()
  return how
}

/** `settled` resolves when what was written has reached the terminal. */
async function along(
  options: Options,
  stop: Stop,
  words: readonly string[],
  source: Source | undefined,
  { log, write, world }: Outside,
  settled: () => Promise<void>,
): Promise<Ended> {
  const { launch, environment } = origin()
  const wrong = refusal(words[0] ?? '', environment['PATH'])
  if (wrong) {
    log.error(wrong.text)
    return { code: wrong.code, signal: undefined, seconds: 0, pid: undefined }
  }
  // Loaded only if something is captured.
  const captures = options.logs.stdout === 'file' || options.logs.stderr === 'file'
  const captured = captures ? await (await import('./capture.ts')).capture(options, clock, log) : undefined
  await using cleanup = new AsyncDisposableStack()
  cleanup.defer(async () => captured?.close())
  await using started = await startOpenable(captured?.options ?? options, world, words, source)
  const { sidecar, findings } = started
  const service = serviceName(words, options.app.name)
  const { env, diverted } = applicationEnvironment(
    environment,
    sidecar.listeners,
    service,
    sidecar.forwards !== undefined && options.forward.adopt,
  )
  const orphans = orphansWarning(process.pid)
  const before = [
    ...findings,
    ...(diverted ? [warning('otlp', diverted)] : []),
    ...(orphans ? [warning('process', orphans)] : []),
  ]
  announce(sidecar, options, write, before, { words, service })
  // Before the application may have changed the terminal.
  await settled()
  await stop.release()

  const ended = new AbortController()
  const memory = new Memory()
  const cpu = childrenCpuSeconds('/proc') ?? 0
  const how = await supervise(words, {
    env,
    launch,
    group: options.run.group,
    log,
    onUncaught: () => sidecar.uncaught(),
    ...(captured && { output: captured.output }),
    onStart(pid) {
      captured?.given()
      captured?.copy(sidecar)
      const command = identity(pid)?.command
      void become(pid, ended.signal, restores(command ?? '') ? command : undefined).then(() => {
        sidecar.app.child = pid
        void memory.follow(pid, ended.signal)
        void tellLater(sidecar, options, write, ended.signal)
      })
    },
  })
  ended.abort()
  await captured?.drain()
  if (how.pid !== undefined) {
    const outcome = outcomeOf(how, (childrenCpuSeconds('/proc') ?? 0) - cpu, memory.peakBytes)
    sidecar.app.outcome = outcome
    const fields = {
      cpu_seconds: outcome.cpuSeconds,
      peak_memory_bytes: outcome.peakBytes,
      ...(await sidecar.seen()),
    }
    if (how.code === 0) log.info(ending(how), fields)
    else log.warn(ending(how), fields)
    const survivors = memory.survivors()
    if (survivors.length > 0)
      log.warn('the command has ended, but what it started still runs; --run.group signals all of it', {
        pids: survivors.join(' '),
      })
    await sidecar.finish()
    await linger(options, log)
  }
  return how
}

function inForeground(): boolean {
  const job = jobOf('self')
  return job === undefined || job.terminal === 0 || job.group === job.foreground
}

function outcomeOf({ code, signal, seconds }: Ended, cpu: number, peakBytes: number | undefined): Outcome {
  return { code, signal, seconds, cpuSeconds: rounded(cpu), peakBytes, at: clock.now() }
}

function rounded(seconds: number): number {
  return Math.round(seconds * 100) / 100
}
