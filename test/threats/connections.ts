// The kernel's view of the connections that a sidecar has accepted.

import { readFileSync } from 'node:fs'
import type { Ride } from '../e2e/ride.ts'

const LISTEN = '0A'

export interface Accepted {
  /** The timer that runs for it, by its number in proc_net_tcp: 2 is keepalive. */
  readonly timer: number
  /** When that timer fires. */
  readonly seconds: number
}

/** Accepted connections that the sidecar still holds: one that it has closed no longer has an inode. */
export function accepted(ride: Ride): readonly Accepted[] {
  const ports = [ride.web, ride.otlp, ride.grpc].map(each => Number(new URL(each).port))
  return ['tcp', 'tcp6'].flatMap(table => {
    const [, ...rows] = readFileSync(`/proc/${ride.child.pid}/net/${table}`, 'utf8').trim().split('\n')
    return rows.flatMap(row => {
      const [, local = '', , state, , timer = '', , , , inode] = row.trim().split(/\s+/)
      const port = Number.parseInt(local.slice(local.indexOf(':') + 1), 16)
      if (state === LISTEN || inode === '0' || !ports.includes(port)) return []
      // Ticks of 10 ms, in hexadecimal like all else.
      return [{ timer: Number.parseInt(timer, 16), seconds: Number.parseInt(timer.slice(3), 16) / 100 }]
    })
  })
}

const TRACES = 'POST /v1/traces HTTP/1.1\\r\\nHost: a\\r\\nContent-Type: application/json\\r\\n'

/**
 * A program that opens a connection in each way that a client can leave one: silent, in the middle of a head, of a body, of an
 * HTTP/2 session, of a call, and idle after an answer. It says so when all of it has arrived.
 */
export function client({ web, otlp, grpc }: Ride): string {
  const port = (base: string): string => new URL(base).port
  return `
    const net = require('node:net'), http2 = require('node:http2')
    const open = (port, text) => new Promise((resolve, reject) => {
      const socket = net.connect(port, '127.0.0.1', () => socket.write(text, () => resolve(socket)))
      socket.on('error', reject)
    })
    const answered = async (port, text) => {
      const socket = await open(port, text)
      await new Promise(resolve => socket.once('data', resolve))
    }
    const session = () => new Promise(resolve => {
      const session = http2.connect('http://127.0.0.1:${port(grpc)}')
      session.on('error', () => {}).once('remoteSettings', () => resolve(session))
    })
    const call = async () => {
      const headers = { ':method': 'POST', ':path': '/opentelemetry.proto.collector.trace.v1.TraceService/Export' }
      const stream = (await session()).request({ ...headers, 'content-type': 'application/grpc', te: 'trailers' })
      stream.on('error', () => {})
      stream.write(Buffer.from([0, 0, 0, 1, 0, 1]))
    }
    Promise.all([
      answered(${port(web)}, 'GET /-/healthy HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n'),
      open(${port(web)}, 'GET /-/healthy HTTP/1.1\\r\\nHo'),
      answered(${port(otlp)}, '${TRACES}Content-Length: 2\\r\\n\\r\\n{}'),
      open(${port(otlp)}, ''),
      open(${port(otlp)}, 'POST /v1/traces HT'),
      open(${port(otlp)}, '${TRACES}Content-Length: 100000\\r\\n\\r\\n{'),
      open(${port(grpc)}, ''),
      session(),
      call(),
    ]).then(() => setTimeout(() => console.log('opened'), 200))
    setInterval(() => {}, 1000)`
}

/** The number of connections that the program opens. */
export const OPENED = 9
