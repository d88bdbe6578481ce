// Which records were acknowledged, as a text file beside the segments:
//
//   pillion-queue-cursor 1
//   1-4711
//   4713-4720
//   crc 1a2b3c4d
//
// It only saves work. The truth is in the segments: without it, or with one that cannot be true, records are sent again.

import { crc32 } from 'node:zlib'
import type { Files } from './files.ts'
import { type Range, Ranges } from './ranges.ts'

const TITLE = 'pillion-queue-cursor 1'
/** So many gaps are kept; the rest would only be sent again. */
const MOST_RANGES = 10_000
/** A file larger than any that is written here. */
const MOST_BYTES = 512 * 1024

export function cursorText(acked: Ranges): string {
  const lines = [...acked].slice(0, MOST_RANGES).map(([first, last]) => `${first}-${last}\n`)
  const text = `${TITLE}\n${lines.join('')}`
  return `${text}crc ${crc32(text).toString(16).padStart(8, '0')}\n`
}

/** Undefined if the text is none that was written as a whole. */
export function parseCursor(text: string): Ranges | undefined {
  const [, body, crc] = /^(.*\n)crc ([0-9a-f]{8})\n$/s.exec(text) ?? []
  if (body === undefined || crc === undefined || Number.parseInt(crc, 16) !== crc32(body)) return undefined
  const [title, ...lines] = body.trimEnd().split('\n')
  if (title !== TITLE) return undefined
  const ranges: Range[] = []
  for (const line of lines) {
    const [, first, last] = /^(\d{1,16})-(\d{1,16})$/.exec(line) ?? []
    if (first === undefined || last === undefined) return undefined
    ranges.push([Number(first), Number(last)])
  }
  return new Ranges(ranges)
}

/** The cursor in this folder; undefined if there is none that can be read. */
export async function readCursor(files: Files, folder: string): Promise<Ranges | undefined> {
  let fd: number | undefined
  try {
    fd = await files.open(`${folder}/cursor`, 'read')
    const size = await files.size(fd)
    if (size === undefined || size > MOST_BYTES) return undefined
    const bytes = Buffer.alloc(size)
    let read = 0
    while (read < size) {
      const count = await files.read(fd, bytes.subarray(read), size - read, read)
      if (count === 0) return undefined
      read += count
    }
    return parseCursor(bytes.toString('latin1'))
  } catch {
    return undefined
  } finally {
    if (fd !== undefined) await files.close(fd)
  }
}

/** Replaces the cursor so that either the old one or the new one is there whatever happens. */
export async function writeCursor(files: Files, folder: string, acked: Ranges): Promise<void> {
  const bytes = Buffer.from(cursorText(acked))
  const fd = await files.open(`${folder}/cursor.tmp`, 'replace')
  try {
    const written = await files.writeLater(fd, [bytes])
    if (written < bytes.length) throw Object.assign(new Error('cannot write the cursor: no space'), { code: 'ENOSPC' })
    await files.sync(fd)
  } finally {
    await files.close(fd)
  }
  await files.rename(`${folder}/cursor.tmp`, `${folder}/cursor`)
  await files.syncFolder(folder)
}
