// `npm run demo`, as its README promises it: numbers of all services, and nothing left behind.

import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { Child, until } from './child.ts'

const DEMO = fileURLToPath(new URL('../../examples/demo.ts', import.meta.url))

t.test('--once shows a number of each kind and ends with 0', async t => {
  await using demo = await Child.start(process.execPath, [DEMO, '--once', '--any-port'], { DEMO_TEST: 'once' })
  t.same(await demo.ended, { code: 0, signal: null }, demo.stderr)
  t.match(demo.stdout, /^app_health_probes_total\{.*\} [1-9]/m)
  t.match(demo.stdout, /^app_process_cpu_seconds_total\{.*\} \d/m)
  for (const service of ['shop', 'cart', 'payment'])
    t.match(demo.stdout, new RegExp(`^traces_spanmetrics_calls_total\\{.*service="${service}".*\\} [1-9]`, 'm'))
  t.same(marked('once'), [], 'no process is left')
})

t.test('until Ctrl-C: it says what to open, and leaves no process', async t => {
  await using demo = await Child.start(process.execPath, [DEMO, '--any-port'], { DEMO_TEST: 'long' })
  const [, url] = await demo.says(/the sidecar\s+(\S+)\n[\s\S]*Ctrl-C stops everything/)
  t.equal((await fetch(`${url}metrics`)).status, 200)
  t.ok(marked('long').length >= 6, 'the demo, the sidecar, three services and the load')
  demo.kill('SIGINT')
  t.same(await demo.ended, { code: 0, signal: null }, demo.stderr)
  await until('the end of all processes', () => marked('long').length === 0 || undefined)
  t.equal(demo.stderr, '')
})

t.test('an unknown flag is refused with the ones it knows', async t => {
  await using demo = await Child.start(process.execPath, [DEMO, '--twice'])
  t.equal((await demo.ended).code, 64)
  t.match(demo.stderr, /--twice.*--once/s)
})

/** Processes with DEMO_TEST in their environment, which children inherit. */
function marked(value: string): string[] {
  return readdirSync('/proc').filter(pid => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`DEMO_TEST=${value}\0`)
    } catch {
      return false
    }
  })
}
