import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import t from 'tap'

const GARBAGE = new URL('../../collectors/otlp/garbage.ts', import.meta.url)
const MAIN = new URL('../../main.ts', import.meta.url)
const MIB = 1024 * 1024

/** Prints the most bytes outside of the heap while 100 MiB of bodies come and go. */
const SCRIPT = `
  import { Garbage } from '${GARBAGE}'
  const garbage = new Garbage()
  const before = process.memoryUsage().arrayBuffers
  let most = 0
  for (let i = 0; i < 400; i++) {
    garbage.add(Buffer.alloc(${MIB / 4}).length)
    most = Math.max(most, process.memoryUsage().arrayBuffers - before)
  }
  console.log(most)
`

function most(flags: readonly string[]): number {
  const { stdout, stderr } = spawnSync(process.execPath, [...flags, '--input-type=module', '--eval', SCRIPT])
  const bytes = Number.parseInt(stdout.toString(), 10)
  if (Number.isNaN(bytes)) throw new Error(stderr.toString())
  return bytes
}

t.test('large bodies that have been dealt with do not gather, with the flags of the first line', async t => {
  const [, flags = ''] = /^#!\/usr\/bin\/env -S node(.*)\n/.exec(readFileSync(MAIN, 'utf8')) ?? []
  const collected = most(flags.trim().split(' '))
  const left = most([])
  t.comment(`${(collected / MIB).toFixed(0)} MiB; ${(left / MIB).toFixed(0)} MiB without them`)
  t.ok(collected < 16 * MIB)
  t.ok(left > collected, 'and a Node without them works as well')
})

t.test('the image starts Node with the same flags', async t => {
  const [first = ''] = readFileSync(MAIN, 'utf8').split('\n')
  const [, entry = '[]'] =
    /^ENTRYPOINT (.*)$/m.exec(readFileSync(new URL('../../Dockerfile', import.meta.url), 'utf8')) ?? []
  t.same(JSON.parse(entry).slice(0, -1), first.replace('#!/usr/bin/env -S ', '').split(' '))
})
