// All connections are read into one place that they share. Node makes a buffer of 64 KiB for each read, which costs
// more than a small request does, and a batch of 512 spans comes in three of them.

import { Socket, type SocketConstructorOpts } from 'node:net'

/** A batch of 512 spans (172 kB) fits. Only the part that was used is resident. */
const SIZE = 256 * 1024
let shared: Buffer | undefined

/**
 * The socket to use instead of one that was just accepted and has not been read: its 'data' events show bytes that are
 * valid only during the event. That `Socket` takes the handle of another one is not documented; without a handle the
 * accepted socket itself is used.
 */
export function readShared(accepted: Socket): Socket {
  // The property that the types do not have; it is looked at before it is used.
  const holder = accepted as unknown as { _handle?: unknown }
  const handle = holder._handle
  if (!handle) return accepted
  // Never as a whole: memory that belongs to one read is given back behind it.
  shared ??= Buffer.allocUnsafeSlow(SIZE + 1).subarray(0, SIZE)
  holder._handle = null
  const options: SocketConstructorOpts = {
    allowHalfOpen: true,
    onread: {
      buffer: shared,
      callback(bytes, buffer) {
        socket.emit('data', Buffer.from(buffer.buffer, buffer.byteOffset, bytes))
        return true
      },
    },
  }
  // Any handle is taken; the types know one kind of them.
  const socket = new Socket({ ...options, handle } as SocketConstructorOpts)
  // The server counts the one that it has accepted.
  socket.once('close', () => accepted.destroy())
  return socket
}
