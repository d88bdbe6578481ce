// The load generator: a process of its own that sends prepared bodies over persistent connections, each with one request in
// flight at a time, as fast as they are answered or at a given rate. It writes HTTP/1.1 to plain sockets, which leaves most of
// the machine to the server; gRPC uses node:http2.
//
// Started by `send` below, one process for each measurement.

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect as connectTcp } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { errand, say, task } from './errand.ts'

export interface Job {
  readonly protocol: 'http' | 'grpc'
  readonly port: number
  /** A file made by `packBodies`. */
  readonly bodies: string
  readonly gzip: boolean
  readonly connections: number
  /** Ends after this many requests, or after this time. */
  readonly requests?: number
  readonly seconds?: number
  /** Requests a second; if absent, as fast as they are answered. */
  readonly rate?: number
}

export interface Tally {
  readonly requests: number
  readonly seconds: number
}

/** Does a job in a process of its own. Rejects if any request fails. */
export async function send(job: Job): Promise<Tally> {
  // The result of `run` below.
  return (await errand(import.meta.filename, job)) as Tally
}

/** Bodies one after another, each with its length before it. */
export function packBodies(bodies: readonly Buffer[]): Buffer {
  return Buffer.concat(bodies.flatMap(body => [uint32(body.length), body]))
}

export function unpackBodies(packed: Buffer): Buffer[] {
  const bodies: Buffer[] = []
  for (let at = 0; at < packed.length; ) {
    const length = packed.readUInt32BE(at)
    bodies.push(packed.subarray(at + 4, at + 4 + length))
    at += 4 + length
  }
  return bodies
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** Sends one body and resolves when it has succeeded. */
type Post = (body: number) => Promise<void>

if (import.meta.main) {
  const job: Job = JSON.parse(task())
  const bodies = unpackBodies(readFileSync(job.bodies))
  const open = job.protocol === 'http' ? httpConnection : grpcConnection
  const posts: Post[] = []
  for (let i = 0; i < job.connections; i++) posts.push(await open(job, bodies))
  say(await run(job, posts, bodies.length))
}

async function run(job: Job, posts: readonly Post[], bodies: number): Promise<Tally> {
  const { requests = Number.POSITIVE_INFINITY, seconds = Number.POSITIVE_INFINITY, rate } = job
  const begin = performance.now()
  const end = begin + seconds * 1000
  let sent = 0
  await Promise.all(
    posts.map(async post => {
      while (sent < requests && performance.now() < end) {
        const mine = sent++
        if (rate) {
          const early = begin + (mine * 1000) / rate - performance.now()
          if (early > 0.5) await sleep(early)
        }
        await post(mine % bodies)
      }
    }),
  )
  return { requests: sent, seconds: (performance.now() - begin) / 1000 }
}

async function httpConnection({ port, gzip }: Job, bodies: readonly Buffer[]): Promise<Post> {
  const encoding = gzip ? 'Content-Encoding: gzip\r\n' : ''
  const requests = bodies.map(body =>
    Buffer.concat([
      Buffer.from(
        `POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUser-Agent: OTel-OTLP-Exporter-JavaScript/0.301.0\r\n` +
          `Content-Type: application/x-protobuf\r\n${encoding}Content-Length: ${body.length}\r\n\r\n`,
      ),
      body,
    ]),
  )
  const socket = connectTcp(port, '127.0.0.1').setNoDelay(true)
  await once(socket, 'connect')
  let answered: () => void = () => {}
  let text = ''
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    text += chunk
    const headEnd = text.indexOf('\r\n\r\n')
    if (headEnd < 0) return
    if (!text.startsWith('HTTP/1.1 200')) throw new Error(`the server says: ${text.slice(0, 300)}`)
    const length = /\r\ncontent-length: (\d+)/i.exec(text)?.[1]
    if (length === undefined) throw new Error(`an answer without a length: ${text.slice(0, 300)}`)
    if (text.length < headEnd + 4 + Number(length)) return
    text = ''
    answered()
  })
  socket.on('error', fail).on('close', () => fail(new Error('the server has closed the connection')))
  return body =>
    new Promise(resolve => {
      answered = resolve
      socket.write(requests[body]!)
    })
}

async function grpcConnection({ port, gzip }: Job, bodies: readonly Buffer[]): Promise<Post> {
  const { connect } = await import('node:http2')
  const messages = bodies.map(body => Buffer.concat([Buffer.from([gzip ? 1 : 0]), uint32(body.length), body]))
  const session = connect(`http://127.0.0.1:${port}`)
  session.on('error', fail)
  await once(session, 'connect')
  const headers = {
    ':method': 'POST',
    ':path': '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
    'content-type': 'application/grpc',
    te: 'trailers',
    'user-agent': 'grpc-node-js/1.14.7',
    ...(gzip ? { 'grpc-encoding': 'gzip' } : {}),
  }
  let calls = 0
  return body =>
    new Promise(resolve => {
      // SDKs set a deadline of 10 s; it shrinks while a call is prepared, so heads differ.
      const stream = session.request({ ...headers, 'grpc-timeout': `${9990 + (calls++ % 10)}m` })
      let status: string | undefined
      const note = (fields: { 'grpc-status'?: string | string[] | undefined }) => {
        status = String(fields['grpc-status'] ?? status)
      }
      stream.on('response', note).on('trailers', note).on('error', fail).resume()
      stream.on('close', () => {
        if (status !== '0') fail(new Error(`grpc-status ${status}`))
        resolve()
      })
      stream.end(messages[body]!)
    })
}

function fail(error: Error): never {
  process.stderr.write(`the load generator: ${error.message}\n`)
  process.exit(1)
}
