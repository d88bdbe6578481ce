// A sidecar's eye of its own, for tests that need it in another namespace or under another user: says what it sees as JSON.
//   node alone.ts PID      one scrape of that process
//   node alone.ts reuse    watches a process whose number is given to another one (in a PID namespace of its own)

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { sample } from './machine.ts'
import { ride } from './real.ts'

const [what] = process.argv.slice(2)
if (what === 'reuse') await reuse()
else {
  await using watched = await ride({ select: { pid: Number(what) } }, { smaps: true })
  const text = await watched.scrape()
  console.log(JSON.stringify({ text, findings: watched.findings() }))
}

async function reuse(): Promise<void> {
  const first = spawn('sleep', ['60'])
  const { pid } = first
  if (pid === undefined) throw new Error('cannot start sleep')
  await using watched = await ride({ select: { pid } })
  const before = await watched.until(text => sample(text, 'app_process_up') === 1)
  first.kill('SIGKILL')
  await once(first, 'exit')
  // Any thread that starts in between takes the number, so there may be several tries.
  for (let tries = 0; tries < 50; tries++) {
    writeFileSync('/proc/sys/kernel/ns_last_pid', String(pid - 1))
    const second = spawn('sleep', ['60'])
    if (second.pid === pid) {
      const after = await watched.until(text => sample(text, 'app_process_restarts_total') === 1)
      second.kill('SIGKILL')
      console.log(JSON.stringify({ pid, before, after }))
      return
    }
    second.kill('SIGKILL')
    await once(second, 'exit')
    await sleep(20)
  }
  throw new Error(`the number ${pid} was never given again`)
}
