// HTTP/2 connections within bounds. Node has limits for what one frame may do, and none for a client that is slow, silent,
// or sends endless frames of the kinds that the protocol must answer.

import type { Http2Server, ServerHttp2Session } from 'node:http2'
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

/** Watches over each session of a server, and keeps the set of those that are open. */
export function guard(
  server: Http2Server,
  sessions: Set<ServerHttp2Session>,
  window: number,
  limits: SessionLimits,
  clock: Clock,
): void {
  server.on('connection', socket => socket.setKeepAlive(true, 30_000))
  server.on('session', session => {
    sessions.add(session)
    const over = new AbortController()
    session.on('close', () => {
      sessions.delete(session)
      over.abort()
    })
    // Whatever a client does to its own connection ends only that.
    session.on('error', () => {})
    session.setLocalWindowSize(window)
    session.setTimeout(limits.idle_timeout, () => end(session))

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
  })
  server.on('sessionError', () => {})
}

function end(session: ServerHttp2Session): void {
  // A graceful GOAWAY first: a call that crosses it on the way is retried by every gRPC client.
  session.close()
  session.setTimeout(1000, () => session.destroy())
}
