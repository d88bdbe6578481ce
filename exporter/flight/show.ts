// A file as `pillion flight show` prints it: a record, or a ring that nobody has made a record of yet.

import { readFile, stat } from 'node:fs/promises'
import { LARGEST } from './files.ts'
import { RING_BYTES } from './layout.ts'
import { extracted, type FlightRecord } from './record.ts'
import { readRing, recordOf } from './recover.ts'
import { asText } from './text.ts'

export async function shown(path: string, json: boolean, proc: string): Promise<string> {
  try {
    const about = await stat(path).catch(error => {
      throw error?.code === 'ENOENT' ? new Error('there is no such file') : error
    })
    if (!about.isFile()) throw new Error('this is no file; the records in a folder are named flight-….html')
    if (about.size > Math.max(LARGEST, RING_BYTES)) throw new Error('it is larger than any record')
    const bytes = await readFile(path)
    const ring = bytes.subarray(0, 14).toString('latin1') === 'pillion-flight'
    const record = ring ? ofRing(bytes, proc) : extracted(bytes.toString('utf8'))
    return json ? `${JSON.stringify(record)}\n` : asText(record)
  } catch (cause) {
    throw new Error(`cannot show ${path}: ${cause instanceof Error ? cause.message : cause}`, { cause })
  }
}

function ofRing(bytes: Buffer, proc: string): FlightRecord {
  const ring = readRing(bytes)
  const clock = { now: Date.now, monotonic: () => performance.now(), sleep: async () => {} }
  return recordOf(ring, { proc, clock, version: ring.head.version })
}
