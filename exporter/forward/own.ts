// Whether an upstream is this sidecar itself: what is forwarded there would come in again, and be forwarded again.

import { networkInterfaces } from 'node:os'
import type { Fault, Listen, Origins } from '../../options/kinds.ts'
import { SIGNALS } from '../../telemetry/request.ts'
import type { ForwardOptions } from './options.ts'
import { plan, type Target } from './target.ts'

/** Why a connection to an address and port must not be made; undefined if it may. */
export function ownAt(address: string, port: number, listeners: readonly Listen[]): string | undefined {
  const ours = listeners.some(each => each.port === port && reaches(each.host, address))
  return ours ? `${address} port ${port} is this sidecar itself` : undefined
}

/** Faults of the upstreams as far as options show them: one that is a listener of the options, or two with one name. */
export function upstreamFaults(
  options: ForwardOptions,
  listeners: readonly (Listen | undefined)[],
  origins: Origins,
): readonly Fault[] {
  // Found in variables that were meant for the application, it is left out, as the sidecar starts.
  if (!options.enabled || adoptedFrom(origins) !== undefined) return []
  const open = listeners.filter(each => each !== undefined)
  try {
    const faults = new Map<string, string>()
    for (const target of plan(options).flatMap(({ targets }) => targets)) {
      const why = literal(target)
        .map(address => ownAt(address, target.port, open))
        .find(each => each !== undefined)
      if (why !== undefined) faults.set(target.option, `${why}; give the address of another receiver`)
    }
    return [...faults].map(([path, message]) => ({ path, message }))
  } catch (error) {
    return [{ path: 'upstreams', message: error instanceof Error ? error.message : String(error) }]
  }
}

/** The variable that names the upstream, if it comes from one of OpenTelemetry's. */
export function adoptedFrom(origins: Origins | undefined): string | undefined {
  const paths = ['forward.endpoint', ...SIGNALS.map(signal => `forward.${signal}.endpoint`)]
  return paths
    .map(path => origins?.get(path))
    .find(origin => origin?.startsWith('env OTEL_'))
    ?.slice('env '.length)
}

const TWINS = new Set(['127.0.0.1', '::1'])
const WILDCARDS = new Set(['0.0.0.0', '::', ''])

/** Whether a connection to the address reaches a listener at `host` of this machine. */
function reaches(host: string, address: string): boolean {
  const plain = address.replace(/^::ffff:/i, '')
  // A listener at one loopback address has a twin at that of the other family.
  if (plain === host || (TWINS.has(host) && TWINS.has(plain))) return true
  if (WILDCARDS.has(host)) return loopback(plain) || WILDCARDS.has(plain) || local().has(plain)
  // A connection to "any address" goes to this machine.
  return WILDCARDS.has(plain) && loopback(host)
}

function loopback(address: string): boolean {
  return address === '::1' || /^127\./.test(address)
}

function local(): ReadonlySet<string> {
  return new Set(Object.values(networkInterfaces()).flatMap(each => each?.map(({ address }) => address) ?? []))
}

/** The addresses of a host that are known without asking a name server. */
export function literal({ host }: Target): readonly string[] {
  if (host === 'localhost') return ['127.0.0.1', '::1']
  return /^[\d.]+$/.test(host) || host.includes(':') ? [host] : []
}
