// HTTP/2 connections within bounds. Node has limits for what one frame may do, and none for a client that is slow, silent,
// or sends endless frames of the kinds that the protocol must answer.

import type { Http2Server, ServerHttp2Session } from 'node:http2'
import type { Socket } from 'node:net'
import type { Clock } from '../collector.ts'

export interface SessionLimits {
  /** Until a connection must have spoken HTTP/2, in milliseconds. */
  readonly header_timeout: number
  /** Until a connection without calls is closed, in milliseconds. */
  readonly idle_timeout: number
}

/** PING and SETTINGS frames that a client may send: this many at once, and as many again every ten seconds. */
const CONTROL_FRAMES = 100
const CONTROL_PERIOD_MS = 10_000

const ENHANCE_YOUR_CALM = 11

/** How often a client is asked whether it is still there, and how long it may take to say so. */
const PING_MS = 30_000
const PONG_MS = 10_000

/** What a client has, after a session ended in good order, to close its side of the connection. */
const LINGER_MS = 1000

/** Watches over each session of a server, and keeps the set of those that are open. */
export function guard(
  server: Http2Server,
  sessions: Set<ServerHttp2Session>,
  window: number,
  limits: SessionLimits,
  clock: Clock,
): void {
  // A session does not show its socket, and is made while its connection is announced.
  let socket: Socket
  server.prependListener('connection', arrived => {
    socket = arrived
    socket.setKeepAlive(true, 30_000)
  })
  server.on('session', session => {
    const connection = socket
    sessions.add(session)
    const over = new AbortController()
    session.on('close', () => {
      sessions.delete(session)
      over.abort()
    })
    // Whatever a client does to its own connection ends only that.
    session.on('error', () => {})
    session.setLocalWindowSize(window)
    session.setTimeout(limits.idle_timeout, () => end(session, connection, clock))

    let spoken = false
    let frames = 0
    let since = clock.monotonic()
    const control = () => {
      spoken = true
      if (clock.monotonic() - since > CONTROL_PERIOD_MS) {
        since = clock.monotonic()
        frames = 0
      }
      if (++frames > CONTROL_FRAMES) session.destroy(undefined, ENHANCE_YOUR_CALM)
    }
    session.on('remoteSettings', control)
    session.on('ping', control)
    clock.sleep(limits.header_timeout, over.signal).then(
      () => {
        if (!spoken) session.destroy()
      },
      () => {},
    )
    watch(session, connection, clock, over.signal).catch(() => {})
  })
  server.on('sessionError', () => {})
}

function end(session: ServerHttp2Session, connection: Socket, clock: Clock): void {
  // A graceful GOAWAY first: a call that crosses it on the way is retried by every gRPC client.
  session.close()
  // Node then waits for the client to close, and a client that stands still would keep the connection for ever.
  clock.sleep(LINGER_MS, NEVER).then(
    () => connection.destroy(),
    () => {},
  )
}

/**
 * Asks now and then whether the client is still there: the kernel's keepalive does not while something that we sent has not
 * been acknowledged, and is answered for a client that has been stopped. Ends with the connection.
 */
async function watch(session: ServerHttp2Session, connection: Socket, clock: Clock, over: AbortSignal): Promise<void> {
  for (let alive = true; alive; ) {
    await clock.sleep(PING_MS, over)
    alive = false
    if (!session.destroyed)
      session.ping(error => {
        alive = error === null
      })
    await clock.sleep(PONG_MS, over)
  }
  connection.destroy()
}

const NEVER = new AbortController().signal
