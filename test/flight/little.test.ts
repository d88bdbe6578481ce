// Real ends of a real application beside the real sidecar: some of what `npm run flights` does a hundred times.

import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { extracted } from '../../exporter/flight/record.ts'
import { until } from '../e2e/child.ts'
import { startSidecar } from '../e2e/ride.ts'
import { impossible as noNamespace } from '../process/real.ts'
import { type End, type How, helper, impossible, make } from './ends.ts'

t.setTimeout(240_000)

const SAID: Readonly<Record<End, RegExp>> = {
  kill: /: killed \(proven by its exit status\)/,
  oom: /: oom \(proven by the counter of its cgroup\)/,
  segv: /: crash \(proven by /,
  exit: /: error \(proven by its exit status\)\. .* with exit code 42\./,
  both: /was last seen at .*: unknown \(the reason is not known\)\. It and its sidecar ended suddenly/,
}

function f(title: string, end: End, how: How) {
  t.test(title, { skip: impossible(end) }, async t => {
    const { record, text, verdict, pid, log } = await make(end, how, 42)
    t.ok(record, log)
    t.not(verdict, 'wrong')
    t.ok(record!.samples.times.length >= 3)
    t.equal(record!.application.pid, pid)
    // A person without scripts reads this.
    const shown = text.slice(0, text.indexOf('<script'))
    t.match(shown, new RegExp(`pid ${pid}`))
    if (how === 'run' || (helper.skip === false && end !== 'both')) {
      t.equal(verdict, 'right')
      t.match(shown.replaceAll('&#39;', "'"), SAID[end])
    }
    t.notMatch(text, /setInterval|catch_it/, 'no command line')
  })
}

f('an application that is killed leaves a record with its signal', 'kill', 'run')
f('one that runs out of memory leaves a record that the counter of its cgroup proves', 'oom', 'run')
f('one that crashes leaves a record', 'segv', 'run')
f('one that ends with an exit code leaves a record with it', 'exit', 'run')
f('one that is not our child leaves a record too, with its signal where the kernel tells it', 'kill', 'attach')
f('when application and sidecar are killed together, the next start makes the record', 'both', 'run')

f('the same beside an application that something else started', 'both', 'attach')

const CONTAINER = ['--pid', '--fork', '--mount-proc', '--kill-child=SIGKILL']
const NO_NAMESPACE = noNamespace('unshare', [...CONTAINER, 'true'], 'run as root')

t.test(
  'when a container is killed as a whole, the next one makes the record, though it cannot see the old processes',
  {
    skip: NO_NAMESPACE,
  },
  async t => {
    const dir = t.testdir({})
    const way = { flags: ['--flight.dir', dir, '--health.enabled', 'false'], wrapper: ['unshare', ...CONTAINER] }
    const command = [process.execPath, '-e', 'console.log("up"); setInterval(() => {}, 1000)']
    await using first = await startSidecar({ ...way, command })
    await until('samples', async () => ((await first.value('pillion_moments_total')) ?? 0) >= 20 || undefined)
    const ring = await until('a ring', () => readdirSync(dir).find(name => name.startsWith('ring-')))
    // With it everything in its PID namespace ends.
    first.child.kill('SIGKILL')
    await first.child.ended
    await using next = await startSidecar({ ...way, command })
    const name = await until('a record', () => readdirSync(dir).find(each => each.endsWith('.html')))
    t.match(name, /-both-/)
    await until('the ring to be removed', () => !readdirSync(dir).includes(ring) || undefined)
    const { cause, samples } = extracted(readFileSync(`${dir}/${name}`, 'utf8'))
    t.match(cause, { reason: 'unknown', evidence: 'none', text: /it and its sidecar ended suddenly/ })
    t.ok(samples.times.length >= 3)
    t.ok(next.child.running)
  },
)
