// An application that is given faults, in Node. GET /work?fault=NAME does some work of its own, asks a dependency, and answers
// with the times of both, in nanoseconds since the epoch, from which the harness makes spans.

import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { createServer, get } from 'node:http'
import { join } from 'node:path'

const { DEPENDENCY, FOLDER } = process.env
const now = () => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e6)).toString()
let sink = 0

/** Computes for a time of CPU, not of the clock, so that a neighbour makes it longer. */
let rounds = 0
function compute(ms) {
  for (let i = 0; i < ms * rounds; i++) sink = (sink * 31 + i) | 0
}
function calibrate() {
  rounds = 1e5
  for (let i = 0; i < 5; i++) {
    const before = process.cpuUsage().user
    compute(20)
    rounds = (rounds * 20_000) / Math.max(1, process.cpuUsage().user - before)
  }
}
calibrate()

const ask = ms =>
  new Promise((resolve, reject) =>
    get(`${DEPENDENCY}?ms=${ms}`, answer => answer.resume().on('end', resolve)).on('error', reject),
  )

const faults = {
  own_cpu: () => compute(60),
  lock: () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60),
  gc() {
    const kept = []
    for (let i = 0; i < 1_200_000; i++) kept.push({ i, next: kept[i - 1] ?? null })
    sink += kept.length
  },
  disk() {
    const file = openSync(join(FOLDER, 'node.data'), constants.O_CREAT | constants.O_RDWR | constants.O_DSYNC)
    const bytes = Buffer.alloc(1 << 20, sink & 255)
    for (const end = performance.now() + 80; performance.now() < end; ) writeSync(file, bytes, 0, bytes.length, 0)
    closeSync(file)
  },
}

const server = createServer(async (request, response) => {
  const fault = new URL(request.url, 'http://x').searchParams.get('fault') ?? ''
  const start = now()
  compute(8)
  faults[fault]?.()
  const before = now()
  await ask(fault === 'dependency' ? 80 : 2)
  const after = now()
  response.end(JSON.stringify({ start, dep: [before, after], end: now() }))
})
// The harness pauses between faults for longer than the five seconds of Node.
server.keepAliveTimeout = 120_000
server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`))
