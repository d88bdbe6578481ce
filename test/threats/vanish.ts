// Run in a network namespace of its own: clients of every listener vanish silently, since their network goes down before
// they die. Says as JSON when the sidecar had given their connections up, and whether it is well after that.

import { execFileSync } from 'node:child_process'
import { Child, until } from '../e2e/child.ts'
import { startSidecar } from '../e2e/ride.ts'
import { accepted, client, OPENED } from './connections.ts'

await using ride = await startSidecar()
await using peer = await Child.start(process.execPath, ['-e', client(ride)])
await peer.says(/opened/)
const before = accepted(ride).length
execFileSync('ip', ['link', 'set', 'lo', 'down'])
peer.kill('SIGKILL')
await peer.ended
const begun = performance.now()
while (accepted(ride).length > 0 && performance.now() - begun < 70_000)
  await new Promise(resolve => setTimeout(resolve, 200))
const seconds = (performance.now() - begun) / 1000
const left = accepted(ride).length
execFileSync('ip', ['link', 'set', 'lo', 'up'])
const uncaught = await until('an answer', () => ride.value('pillion_uncaught_exceptions_total'))
console.log(JSON.stringify({ opened: before >= OPENED, left, seconds, uncaught, stderr: ride.child.stderr }))
