// Which protocol a client speaks: the first bytes of a connection tell. SDKs are often told the right host and the wrong port
// (4317 is gRPC by convention, 4318 HTTP), and would then lose everything; so each port takes both.
//
//   HTTP/2 = "PRI * HTTP/2.0" …   (no HTTP/1 method begins like that; RFC 9113, 3.4)
//   TLS    = 0x16 …               (a handshake record; RFC 8446, 5.1)
//   HTTP/1 = anything else

import type { Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Clock } from '../../telemetry/host.ts'

export type Protocol = 'http1' | 'http2' | 'tls'

/**
 * Resolves when the first bytes are there, which stay on the socket, paused, to be read; at most three are needed. `silent` is a
 * client that has not sent enough of them within the limit, and `gone` one that has closed the connection before.
 */
export async function firstBytes(socket: Socket, limitMs: number, clock: Clock): Promise<Protocol | 'silent' | 'gone'> {
  const over = new AbortController()
  const { promise, resolve } = Promise.withResolvers<Protocol | 'silent' | 'gone'>()
  let seen: Buffer = Buffer.alloc(0)
  const read = (chunk: Buffer) => {
    // A copy: the bytes are valid during the event.
    seen = Buffer.concat([seen, chunk])
    const protocol = protocolOf(seen)
    if (!protocol) return
    socket.pause()
    resolve(protocol)
  }
  const gone = () => resolve('gone')
  socket.on('data', read).on('end', gone).on('close', gone).resume()
  const expire = async () => {
    await clock.sleep(limitMs, over.signal)
    // Bytes that came during a standstill of this process are read after its timers.
    await nextTurn()
    resolve('silent')
  }
  expire().catch(() => {})
  const protocol = await promise
  over.abort()
  socket.off('data', read).off('end', gone).off('close', gone)
  if (protocol !== 'silent' && protocol !== 'gone') socket.unshift(seen)
  return protocol
}

/** Undefined while it cannot be told. */
export function protocolOf(bytes: Uint8Array): Protocol | undefined {
  if (bytes[0] === TLS) return 'tls'
  for (let i = 0; i < PREFACE.length; i++) {
    if (i === bytes.length) return undefined
    if (bytes[i] !== PREFACE[i]) return 'http1'
  }
  return 'http2'
}

const TLS = 0x16
const PREFACE = Buffer.from('PRI')
