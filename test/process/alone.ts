// Runs the collector alone, in another namespace or as another user, and prints what it sees as JSON.
//   node alone.ts PID      one scrape of that process
//   node alone.ts match X  two scrapes of what matches X, with two seconds in between
//   node alone.ts url X    the same for what listens on the port of that URL
//   node alone.ts told X   what the program X says of a process whose number is given to another one, and of that one
//   node alone.ts reuse    watches a process whose number is given to another one (in a PID namespace of its own)

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { sample } from './machine.ts'
import { ride } from './real.ts'

const [what, named = ''] = process.argv.slice(2)
if (what === 'reuse') await reuse()
else if (what === 'told') await told(named)
else if (what === 'match' || what === 'url') {
  await using watched = await ride(what === 'match' ? { select: { match: named } } : { url: named })
  await watched.scrape()
  await sleep(2000)
  const text = await watched.scrape()
  console.log(JSON.stringify({ text, findings: watched.findings(), pid: watched.app.pid }))
} else {
  await using watched = await ride({ select: { pid: Number(what) } }, { smaps: true })
  const text = await watched.scrape()
  console.log(JSON.stringify({ text, findings: watched.findings() }))
}

async function told(program: string): Promise<void> {
  const first = spawn('sleep', ['60'])
  const { pid } = first
  if (pid === undefined) throw new Error('cannot start sleep')
  const args = [String(pid), started(pid)]
  const held = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  let early = ''
  held.stdout.on('data', text => {
    early += text
  })
  await once(held.stdout, 'data')
  held.kill('SIGSTOP')
  first.kill('SIGKILL')
  await once(first, 'exit')
  const second = await successor(pid)
  held.kill('SIGCONT')
  await once(held, 'close')
  const late = spawnSync(program, args, { encoding: 'utf8' })
  second.kill('SIGKILL')
  console.log(JSON.stringify({ early, late: late.stdout }))
}

/** Field 22 of its stat. */
function started(pid: number): string {
  return readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ')[19]!
}

async function reuse(): Promise<void> {
  const first = spawn('sleep', ['60'])
  const { pid } = first
  if (pid === undefined) throw new Error('cannot start sleep')
  await using watched = await ride({ select: { pid } })
  const before = await watched.until(text => sample(text, 'app_process_up') === 1)
  first.kill('SIGKILL')
  await once(first, 'exit')
  const second = await successor(pid)
  const after = await watched.until(text => sample(text, 'app_process_restarts_total') === 1)
  second.kill('SIGKILL')
  console.log(JSON.stringify({ pid, before, after }))
}

/** Another process with this number, which is free. */
async function successor(pid: number): Promise<ChildProcess> {
  // Start times are in ticks of 10 ms: within one of them the two would be the same.
  await sleep(20)
  // Any thread that starts in between takes the number, so there may be several tries.
  for (let tries = 0; tries < 50; tries++) {
    writeFileSync('/proc/sys/kernel/ns_last_pid', String(pid - 1))
    const second = spawn('sleep', ['60'])
    if (second.pid === pid) return second
    second.kill('SIGKILL')
    await once(second, 'exit')
    await sleep(20)
  }
  throw new Error(`the number ${pid} was never given again`)
}
