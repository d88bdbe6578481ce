// The policy of the web server, which can be replaced while it listens: allowed names, token, users, certificates, the
// headers of every answer. It is made as a whole, or not at all.

import { dirname, resolve } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { fileStamp } from '../../options/file.ts'
import type { Rules } from './access.ts'
import type { Pem, WebConfig } from './config.ts'
import type { WebHost } from './host.ts'
import type { WebOptions } from './options.ts'
import type { Tls } from './tls.ts'
import type { Users } from './users.ts'

export interface Policy extends AsyncDisposable {
  readonly rules: Rules
  /** To add to each answer. */
  readonly headers: Readonly<Record<string, string>>
  readonly tls: Tls | undefined
  /** Whether one more request is within the rate limit. */
  hasRoom(): boolean
  /** Changes when one of the files behind `web.config.file` does. */
  stamp(): Promise<string>
}

/** Throws an Error that says what to mend. */
export async function openPolicy(options: WebOptions, host: Pick<WebHost, 'clock' | 'log'>): Promise<Policy> {
  const { allowed_hosts: allowedHosts, token_file: tokenFile, config } = options
  const token =
    tokenFile === undefined ? undefined : await (await import('./token.ts')).Token.open(tokenFile, host.clock, host.log)
  const plain = { headers: {}, tls: undefined, hasRoom: () => true, stamp: async () => '' }
  if (config.file === undefined)
    return { ...plain, rules: { allowedHosts, token, users: undefined }, [Symbol.asyncDispose]: async () => {} }

  const path = config.file
  const file = await (await import('./config.ts')).readConfig(path)
  const tls = file.tls && (await (await import('./tls.ts')).openTls(file.tls, path))
  const users = await openUsers(file, host)
  const files = [path, ...pems(file).map(pem => resolve(dirname(path), pem))]
  return {
    rules: { allowedHosts, token, users, certified: socket => tls?.certified(socket as TLSSocket) ?? false },
    headers: file.headers,
    tls,
    hasRoom: bucket(file.rate, host),
    stamp: async () => (await Promise.all(files.map(fileStamp))).join(),
    async [Symbol.asyncDispose]() {
      await users?.[Symbol.asyncDispose]()
    },
  }
}

async function openUsers({ users }: WebConfig, { clock }: Pick<WebHost, 'clock'>): Promise<Users | undefined> {
  if (users.size === 0) return undefined
  const { Bcrypt } = await import('./bcrypt.ts')
  const { Users } = await import('./users.ts')
  return new Users(users, new Bcrypt(), clock)
}

function pems({ tls }: WebConfig): readonly string[] {
  const all: readonly (Pem | undefined)[] = tls ? [tls.cert, tls.key, tls.clientCa] : []
  return all.flatMap(pem => (pem && 'file' in pem ? [pem.file] : []))
}

/** A token bucket: one request each interval, and `burst` at once after a rest. */
function bucket(rate: WebConfig['rate'], { clock }: Pick<WebHost, 'clock'>): () => boolean {
  if (!rate) return () => true
  let tokens = rate.burst
  let at = clock.monotonic()
  return () => {
    const now = clock.monotonic()
    tokens = Math.min(rate.burst, tokens + (now - at) / rate.intervalMs)
    at = now
    if (tokens < 1) return false
    tokens--
    return true
  }
}
