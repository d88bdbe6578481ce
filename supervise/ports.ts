// Listeners under `pillion run`: the application comes first, so a port that is taken must not keep it from starting.

import { createServer } from 'node:net'
import type { Listen } from '../options/kinds.ts'

/** The options that say where the sidecar listens, and what each listener is for. */
const LISTENERS = {
  'web.listen': 'the web server',
  'otlp.http.listen': 'OTLP/HTTP',
  'otlp.grpc.listen': 'OTLP/gRPC',
} as const

export interface Listening {
  readonly web: { readonly listen: Listen | undefined }
  readonly otlp: {
    readonly http: { readonly listen: Listen | undefined }
    readonly grpc: { readonly listen: Listen | undefined }
  }
}

export interface Opened<O> {
  readonly options: O
  /** The changes that were made, in sentences. */
  readonly findings: readonly string[]
}

/**
 * The options with a free port for each default port that is taken, and without the listeners whose configured port is.
 * `origin` says where an option comes from ("default", "flag --web.listen").
 */
export async function openable<O extends Listening>(
  options: O,
  origin: (path: string) => string | undefined,
): Promise<Opened<O>> {
  const findings: string[] = []
  const listen = async (path: keyof typeof LISTENERS, wanted: Listen | undefined): Promise<Listen | undefined> => {
    const code = wanted && wanted.port !== 0 ? await tried(wanted) : undefined
    if (!wanted || !code) return wanted
    const { host, port } = wanted
    const why = `cannot listen on ${host}:${port} for ${LISTENERS[path]}: ${code}`
    if ((origin(path) ?? 'default') === 'default' && code === TAKEN) {
      findings.push(`${why}; a free port is used instead`)
      return { host, port: 0 }
    }
    findings.push(
      `${why}; the application starts without it; ${code === TAKEN ? 'free it, or ' : ''}choose another with --${path}`,
    )
    return undefined
  }
  const { web, otlp } = options
  const [first, http, grpc] = [
    await listen('web.listen', web.listen),
    await listen('otlp.http.listen', otlp.http.listen),
    await listen('otlp.grpc.listen', otlp.grpc.listen),
  ]
  return { options: { ...options, ...withListeners(options, { web: first, http, grpc }) }, findings }
}

/** Newly read options that ask for the same listeners as `before` get those that were opened for it. */
export function sameListeners<O extends Listening>(next: O, before: Listening, opened: Listening): O {
  const keep = (now: Listen | undefined, was: Listen | undefined, is: Listen | undefined): Listen | undefined =>
    now?.host === was?.host && now?.port === was?.port ? is : now
  return {
    ...next,
    ...withListeners(next, {
      web: keep(next.web.listen, before.web.listen, opened.web.listen),
      http: keep(next.otlp.http.listen, before.otlp.http.listen, opened.otlp.http.listen),
      grpc: keep(next.otlp.grpc.listen, before.otlp.grpc.listen, opened.otlp.grpc.listen),
    }),
  }
}

function withListeners(
  { web, otlp }: Listening,
  listen: Readonly<Record<'web' | 'http' | 'grpc', Listen | undefined>>,
): Listening {
  return {
    web: { ...web, listen: listen.web },
    otlp: {
      ...otlp,
      http: { ...otlp.http, listen: listen.http },
      grpc: { ...otlp.grpc, listen: listen.grpc },
    },
  }
}

const TAKEN = 'the port is taken'
const WHY: Readonly<Record<string, string>> = {
  EADDRINUSE: TAKEN,
  EACCES: 'the port is not permitted',
  EADDRNOTAVAIL: 'this machine has no such address',
  ENOTFOUND: 'there is no such host',
}

/** Why a port cannot be listened on; undefined if it can. */
function tried({ host, port }: Listen): Promise<string | undefined> {
  const server = createServer()
  return new Promise(resolve => {
    server.once('error', ({ code = '', message }: NodeJS.ErrnoException) => resolve(WHY[code] ?? message))
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)))
  })
}
