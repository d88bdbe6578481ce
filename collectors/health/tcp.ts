// The TCP probe: connect, and if asked, say something and wait for what must come back.

import { type Endpoint, open } from './connection.ts'
import { type Failure, failed, failure, type Probe, Stopwatch } from './verdict.ts'

export interface TcpTarget {
  readonly kind: 'tcp'
  readonly endpoint: Endpoint
  readonly send: string | undefined
  /** Matched against everything received so far, byte by byte (latin1). */
  readonly expect: RegExp | undefined
}

const RECEIVE_LIMIT = 64 * 1024

export const tcp: Probe<TcpTarget> = async (target, signal, context) => {
  const watch = new Stopwatch(context.clock)
  const opened = await open(target.endpoint, signal, watch)
  const tls = opened.notAfter === undefined ? {} : { notAfter: opened.notAfter }
  if (!opened.ok) return watch.stop(failed(opened.reason, opened.detail), tls)
  const { socket } = opened
  const { expect } = target
  const { promise, resolve } = Promise.withResolvers<{ ok: true } | Failure>()
  const expire = (): void => resolve(failure(undefined, signal))
  try {
    watch.enter('processing')
    if (signal.aborted) expire()
    else signal.addEventListener('abort', expire, { once: true })
    socket.on('error', error => resolve(failure(error, signal)))
    if (target.send !== undefined) socket.write(target.send)
    if (expect === undefined) resolve({ ok: true })
    else {
      let received = ''
      socket.on('data', chunk => {
        received += chunk.toString('latin1')
        if (expect.test(received)) resolve({ ok: true })
        else if (received.length > RECEIVE_LIMIT)
          resolve(failed('too_large', `no match in the first ${RECEIVE_LIMIT} bytes`))
      })
      socket.on('end', () => resolve(failed('body', `closed after ${received.length} bytes without a match`)))
      socket.on('close', () => resolve(failed('reset', 'closed')))
    }
    return watch.stop(await promise, tls)
  } finally {
    signal.removeEventListener('abort', expire)
    socket.destroy()
  }
}
