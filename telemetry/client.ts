// The HTTP client for health probes, the scrape of the application's own /metrics, and upstreams. It makes one request on a
// connection of its own, follows no redirect, decompresses nothing and never rejects. The room client/ implements it.

import type { Clock } from './host.ts'

/** Where to connect: a TCP port, with or without TLS, or a Unix domain socket. */
export type Endpoint = TcpEndpoint | { readonly socketPath: string }

export interface TcpEndpoint {
  /** A name or an IP address, IPv6 without brackets. */
  readonly host: string
  readonly port: number
  readonly tls: ClientTls | undefined
}

export interface ClientTls {
  /** Whether the certificate must be valid for the name and signed by a known authority. */
  readonly verify: boolean
  readonly serverName: string
  /** PEM of the authorities to trust instead of Node's own. */
  readonly ca: string | undefined
  /** PEM of the client's own certificate and its key. */
  readonly cert?: string | undefined
  readonly key?: string | undefined
}

export interface ClientRequest {
  readonly endpoint: Endpoint
  readonly method: string
  /** Path and query. */
  readonly path: string
  /** All headers that are sent, Host included, by lower-case name. */
  readonly headers: Readonly<Record<string, string>>
  /** Sent with its length; lent until the answer is there. */
  readonly body?: Buffer
  /** Bytes of the response's head; a larger one is a failure (`too_large`). */
  readonly maxHead: number
  /** Bytes of the body that are read; the rest is not read, and `whole` is false. */
  readonly maxBody: number
  /** Told of the bytes of the body as they come; false reads no further, and `whole` is false. */
  readonly room?: (bytes: number) => boolean
  /** Why an IP address must not be connected to; undefined if it may. Called after the lookup, with the address itself. */
  readonly blocked?: AddressCheck
}

export type AddressCheck = (address: string) => string | undefined

/** In the order in which a request goes through them; what belongs to none is the remainder, so that they add up. */
export const PHASES = ['resolve', 'connect', 'tls', 'processing', 'transfer', 'remainder'] as const
export type Phase = (typeof PHASES)[number]

/**
 * Why there is no answer. `timeout`: the signal's deadline; `blocked`: the address is not allowed; `reset`: the peer closed
 * the connection; `too_large`: the head of the response; `protocol`: what came is not HTTP, or has too many interim (1xx)
 * responses; `local`: this machine could not even try (no descriptors, for instance).
 */
export const CLIENT_REASONS = [
  'timeout',
  'dns',
  'blocked',
  'refused',
  'unreachable',
  'reset',
  'tls',
  'too_large',
  'protocol',
  'local',
] as const
export type ClientReason = (typeof CLIENT_REASONS)[number]

export interface Exchanged {
  /** From the start to the outcome: exactly the sum of the phases. */
  readonly seconds: number
  /** Seconds in each phase. */
  readonly phases: Readonly<Record<Phase, number>>
  /** Earliest end of validity in the certificate chain, in seconds since the epoch, once a handshake has shown it. */
  readonly notAfter?: number
}

export interface Answer extends Exchanged {
  readonly ok: true
  readonly status: number
  /** By lower-case name; fields of one name are joined by ", ". */
  readonly headers: ReadonlyMap<string, string>
  readonly body: Buffer
  /** False when the body was longer than `maxBody`. After status 101 there is no body. */
  readonly whole: boolean
}

export interface NoAnswer extends Exchanged {
  readonly ok: false
  readonly reason: ClientReason
  /** One line for people. */
  readonly detail: string
  /** The status, if the failure came after it. */
  readonly status?: number
}

/** `signal` is the deadline over everything, from the lookup of the name to the last byte. */
export type Client = (
  request: ClientRequest,
  signal: AbortSignal,
  clock: Pick<Clock, 'monotonic'>,
) => Promise<Answer | NoAnswer>
