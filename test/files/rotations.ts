// Rotates a log file under load, again and again, and compares what was read with what was written, line by line.
//
//   node test/files/rotations.ts [rotations]      200 of each kind by default

import {
  closeSync,
  copyFileSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { follow, followed } from './start.ts'

/** hasty: copytruncate several times between two looks, or between the look and the read. */
export const KINDS = ['rename', 'delete', 'copytruncate', 'hasty copytruncate'] as const
export type Kind = (typeof KINDS)[number]

/** Between two rotations, lines are written for so long. */
const WRITING_MS = 100
/** So many rotated files are kept. */
const KEPT = 50

export interface Outcome {
  readonly written: number
  readonly read: number
  readonly distinct: number
  readonly truncations: number
}

export async function rotate(t: Test, kind: Kind, rotations: number): Promise<Outcome> {
  const dir = mkdtempSync(join(tmpdir(), 'rotations-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const path = join(dir, 'app.log')
  const source = { name: 'app', start: 'beginning', join: false, paths: [path] }
  let fd = openSync(path, 'a')
  const following = await follow(t, { poll: '10ms', sources: [source] })
  await followed(following, 1)
  let written = 0
  const lines = (count: number): void => {
    let text = ''
    for (let i = 0; i < count; i++) text += `line ${String(written++).padStart(8, '0')} of the ${kind}\n`
    writeSync(fd, text)
  }
  const end = performance.now() + 1_200_000
  for (let n = 0; n < rotations; n++) {
    const writing = kind === 'hasty copytruncate' ? (n * 7) % 13 : WRITING_MS
    for (const end = performance.now() + writing; performance.now() < end; await sleep(1)) lines(20)
    if (kind.endsWith('copytruncate')) {
      copyFileSync(path, join(dir, `app.log.${n}`))
      truncateSync(path)
    } else {
      const rotated = join(dir, `app.log.${n}`)
      renameSync(path, rotated)
      // The application has it open for a little longer.
      lines(20)
      closeSync(fd)
      fd = openSync(path, 'a')
      if (kind === 'delete') unlinkSync(rotated)
    }
    if (n >= KEPT) rmSync(join(dir, `app.log.${n - KEPT}`), { force: true })
    lines(1)
    // A file that is made and deleted between two looks was never seen by anybody.
    const mark = `line ${String(written - 1).padStart(8, '0')} of the ${kind}`
    while (
      kind === 'delete' &&
      !following.records.slice(-20_000).some(({ body }) => body === mark) &&
      performance.now() < end
    )
      await sleep(1)
  }
  closeSync(fd)
  const late = performance.now() + 30_000
  while (following.records.length < written && performance.now() < late) await sleep(10)
  // More than there should be would come soon.
  await sleep(300)
  return {
    written,
    read: following.records.length,
    distinct: new Set(following.bodies()).size,
    truncations: await following.value('app_log_file_truncations_total'),
  }
}

if (process.argv[1] === import.meta.filename) {
  const rotations = Number(process.argv[2] ?? 200)
  t.setTimeout(1_800_000)
  for (const kind of KINDS)
    t.test(`${rotations} rotations under load by ${kind}: every line once`, async t => {
      const outcome = await rotate(t, kind, rotations)
      t.comment(JSON.stringify(outcome))
      t.equal(outcome.distinct, outcome.written, 'none is lost')
      t.equal(outcome.read, outcome.written, 'none comes twice')
      if (kind.endsWith('copytruncate')) t.ok(outcome.truncations > 0)
    })
}
