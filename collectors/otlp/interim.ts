// Asks a client that sends nothing more whether it is still there: it may have closed only its side and wait for the answer to its
// last request (a half-close), or be gone. TCP shows both alike until something is sent: a client that is gone resets the
// connection, which the next write finds out. So an interim answer is sent in two writes. A client that waits discards it
// (RFC 9110, section 15.2); of a client that is gone, a request that waits for its turn is not taken, since it will send it again.

import type { Socket } from 'node:net'

/** "100 Continue": some clients know no other interim answer. */
const FIRST_PART = Buffer.from('HTTP/1.1 100 Continue\r\n', 'latin1')
const REST = Buffer.from('\r\n', 'latin1')

/** Asks when the client closes its side, or at once if it has. The returned function ends that, before anything else is written. */
export function askAtEnd(socket: Socket): () => void {
  let rest: NodeJS.Immediate | undefined
  const finish = () => {
    if (!rest) return
    clearImmediate(rest)
    rest = undefined
    socket.write(REST)
  }
  const ask = () => {
    socket.write(FIRST_PART)
    rest = setImmediate(finish)
  }
  if (socket.readableEnded) ask()
  else socket.once('end', ask)
  return () => {
    socket.off('end', ask)
    finish()
  }
}
