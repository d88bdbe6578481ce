// Opens a port on the loopback addresses of both families, since "localhost" is ::1 to some clients and 127.0.0.1 to others.

import { type AddressInfo, isIPv4, type Server } from 'node:net'
import type { Listen } from '../../options/kinds.ts'

const WHY: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is taken; free it, or',
  EACCES: 'the port is not permitted;',
  EADDRNOTAVAIL: 'this machine has no such address;',
  ENOTFOUND: 'there is no such host;',
}

/** Listens at the address; throws an Error that names the option if the port cannot be had. Returns the real port. */
export async function open(server: Server, { host, port }: Listen, option: string): Promise<Listen> {
  try {
    await listening(server, host, port)
  } catch (cause) {
    const code = codeOf(cause)
    throw Object.assign(
      new Error(`cannot listen on ${shown(host)}:${port}: ${WHY[code] ?? `${code};`} choose another with --${option}`, {
        cause,
      }),
      { code },
    )
  }
  // A TCP server that listens has an AddressInfo: the other forms belong to pipes and to closed servers.
  return { host, port: (server.address() as AddressInfo).port }
}

/** The other loopback address, if there is one to listen on as well. */
export function twin(host: string): string | undefined {
  return host === '127.0.0.1' || host === 'localhost' ? '::1' : host === '::1' ? '127.0.0.1' : undefined
}

/** Like `open`, for an address that may not exist here: returns the code of the error instead of throwing. */
export async function tryOpen(server: Server, host: string, port: number): Promise<string | undefined> {
  try {
    await listening(server, host, port)
    return undefined
  } catch (error) {
    return codeOf(error)
  }
}

/** The warning about a listener that other hosts can reach; undefined for a loopback address. */
export function exposure({ host, port }: Listen, option: string): string | undefined {
  if (host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'))) return undefined
  return `every host that reaches ${shown(host)}:${port} can send here: this listener asks for no password and speaks no TLS; guard it by a network policy, or listen on 127.0.0.1 (${option})`
}

function listening(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port }, () => {
      server.removeListener('error', reject)
      resolve()
    })
  })
}

function shown(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}
