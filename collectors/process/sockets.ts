// TCP sockets of a network namespace, from /proc/PID/net/tcp and tcp6. Reading one of these walks the kernel's whole
// hash table (about 2 ms even when it is nearly empty), so it is done rarely, and through the thread pool, off the
// loop.

import { type FileHandle, open } from 'node:fs/promises'

/** The kernel's state numbers (include/net/tcp_states.h), as node_exporter names them. */
export const STATES = [
  'established',
  'syn_sent',
  'syn_recv',
  'fin_wait1',
  'fin_wait2',
  'time_wait',
  'close',
  'close_wait',
  'last_ack',
  'listen',
  'closing',
] as const
export type TcpState = (typeof STATES)[number]

/** One row, reused for the next: valid only during the call. */
export interface Row {
  /** Local address as the file has it: 8 or 32 hexadecimal digits, each 32-bit word in the machine's byte order. */
  address: string
  port: number
  /** Address and port of the other end, in the same form: "0100007F:1F90". */
  remote: string
  state: TcpState
  /** In the listen state: connections that wait to be accepted. */
  receiveQueue: number
  inode: number
}

/** A table longer than this (some 100 000 sockets) is not read to its end. */
const TABLE_BYTES = 16 * 1024 * 1024
const CHUNK_BYTES = 64 * 1024

export type TcpRead = 'whole' | 'cut' | 'unreadable'

/** Visits all rows of both address families. Without IPv6 there is no tcp6, which is no fault. */
export async function readTcp(netFolder: string, visit: (row: Row) => void): Promise<TcpRead> {
  const four = await readTable(`${netFolder}/tcp`, visit)
  const six = await readTable(`${netFolder}/tcp6`, visit)
  if (four === 'unreadable' && six === 'unreadable') return 'unreadable'
  return four === 'cut' || six === 'cut' ? 'cut' : 'whole'
}

async function readTable(path: string, visit: (row: Row) => void): Promise<TcpRead> {
  let file: FileHandle
  try {
    file = await open(path, 'r')
  } catch {
    return 'unreadable'
  }
  try {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
    let rest = ''
    for (let total = 0; total < TABLE_BYTES; ) {
      // No position: the file offers its rows in turn, and seeking makes it count again from the first.
      const { bytesRead } = await file.read(chunk, 0, chunk.length, null)
      if (bytesRead === 0) return 'whole'
      total += bytesRead
      rest = visitLines(rest + chunk.toString('latin1', 0, bytesRead), visit)
      // A row has 150 characters; what goes on for longer is no table.
      if (rest.length > 4096) return 'unreadable'
    }
    return 'cut'
  } catch {
    return 'unreadable'
  } finally {
    await file.close()
  }
}

const row: Row = { address: '', port: 0, remote: '', state: 'close', receiveQueue: 0, inode: 0 }

function visitLines(text: string, visit: (row: Row) => void): string {
  let start = 0
  for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
    if (parseRow(text.slice(start, end), row)) visit(row)
    start = end + 1
  }
  return text.slice(start)
}

//  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
//   0: 0100007F:1F90 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 12345 1 …
const ROW =
  /^ *\d+: ((?:[0-9A-F]{8}){1,4}):([0-9A-F]{4}) ([0-9A-F]{8,32}:[0-9A-F]{4}) ([0-9A-F]{2}) [0-9A-F]{8}:([0-9A-F]{8}) [0-9A-F]{2}:[0-9A-F]{8} [0-9A-F]{8} +\d+ +\d+ (\d+) /

/** False for the heading, and for anything that is not a whole row. */
export function parseRow(line: string, into: Row): boolean {
  const [, address, port, remote, state, queue, inode] = ROW.exec(line) ?? []
  if (address === undefined) return false
  // 12 is a connection request that is not yet a socket of its own.
  const number = Number.parseInt(state!, 16)
  const name = STATES[(number === 12 ? 3 : number) - 1]
  if (name === undefined) return false
  into.address = address
  into.port = Number.parseInt(port!, 16)
  into.remote = remote!
  into.state = name
  into.receiveQueue = Number.parseInt(queue!, 16)
  into.inode = Number(inode)
  return true
}

/** Whether a listening address takes what is sent to `host`: undefined is any. Names other than localhost match all. */
export function accepts(address: string, host: string | undefined): boolean {
  if (host === undefined || /^0*$/.test(address)) return true
  const loopback = LOOPBACK.test(address)
  if (host === 'localhost' || host === '::1' || host.startsWith('127.')) return loopback
  return !loopback
}

// 127.0.0.0/8, ::1, and ::ffff:127.0.0.0/104, in either byte order.
const LOOPBACK =
  /^(?:[0-9A-F]{6}7F|7F[0-9A-F]{6}|0{24}(?:01000000|00000001)|0{16}(?:FFFF0000|0000FFFF)(?:[0-9A-F]{6}7F|7F[0-9A-F]{6}))$/
