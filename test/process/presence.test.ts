// Whether the application runs: down only if that is known, on the real machine, as other users and behind hidepid.

import { spawn, spawnSync } from 'node:child_process'
import t from 'tap'
import { sample } from './machine.ts'
import { ALONE, impossible, NO_OTHER_USER, NO_SETSID, NOBODY, program, ride } from './real.ts'

const NODE = process.execPath
const NO_HIDEPID =
  NO_OTHER_USER ||
  impossible('unshare', ['--mount', 'sh', '-c', 'mount -t proc -o hidepid=2 proc /proc'], 'run as root')

// Programs start slowly on a busy machine.
t.setTimeout(120_000)

t.test(
  'somebody who listens, but whose descriptors may not be listed, is not called down',
  { skip: NO_OTHER_USER },
  async t => {
    const source = `const s = require('net').createServer(); s.listen(0, '127.0.0.1', () => console.log(s.address().port))`
    using app = program(NODE, ['-e', source])
    const url = `http://127.0.0.1:${await app.line()}`
    const said = spawnSync('setpriv', [...NOBODY, NODE, ALONE, 'url', url], { encoding: 'utf8' })
    t.equal(said.status, 0, said.stderr)
    const { text, findings } = JSON.parse(said.stdout)
    for (const series of ['app_process_up', 'app_processes', 'app_process_restarts_total'])
      t.equal(sample(text, series), undefined, series)
    t.match(findings[0].text, /something listens on port \d+ of app\.url, but the descriptors of \d+ processes may not/)
  },
)

t.test('a process that hidepid=2 hides is not called down, whatever names it', { skip: NO_HIDEPID }, async t => {
  using app = program('sleep', ['61'])
  const hidden = (...args: readonly string[]) => {
    const script = 'mount -t proc -o hidepid=2 proc /proc && exec "$0" "$@"'
    const inside = ['sh', '-c', script, 'setpriv', ...NOBODY, NODE, ALONE, ...args]
    const said = spawnSync('unshare', ['--mount', ...inside], { encoding: 'utf8' })
    t.equal(said.status, 0, said.stderr)
    return JSON.parse(said.stdout)
  }
  const byMatch = hidden('match', '^sleep 61$')
  t.equal(sample(byMatch.text, 'app_process_up'), undefined)
  t.match(byMatch.findings[0].text, /no process matches .*hidepid=(2|invisible)/)
  const byPid = hidden(String(app.pid))
  t.equal(sample(byPid.text, 'app_process_up'), undefined)
  t.match(byPid.findings[0].text, /app\.pid \d+ runs, but cannot be read here; .*hidepid=(2|invisible)/)
  // The kernel tells of any number whether it is taken.
  app[Symbol.dispose]()
  await app.ended
  t.equal(sample(hidden(String(app.pid)).text, 'app_process_up'), 0)
})

t.test('app.match takes neither what started the sidecar nor a thread of the kernel', { skip: NO_SETSID }, async t => {
  const word = `shop-${process.pid}`
  const looked = (pattern: string) => {
    const wrapped = `${JSON.stringify(NODE)} ${ALONE} match ${pattern}; true`
    const said = spawnSync('timeout', ['60', 'sh', '-c', wrapped], { encoding: 'utf8' })
    t.equal(said.status, 0, said.stderr)
    return JSON.parse(said.stdout)
  }
  const { text, findings } = looked(word)
  t.equal(sample(text, 'app_process_up'), 0)
  t.match(findings[0].text, /no process matches app\.match .*, except \d+, which started the sidecar/)
  t.equal(sample(looked('kworker').text, 'app_process_up'), 0)
  const app = spawn('setsid', ['sh', '-c', `: ${word}; read end`], { stdio: ['pipe', 'ignore', 'inherit'] })
  t.teardown(() => app.kill('SIGKILL'))
  t.equal(looked(word).pid, app.pid)
})

t.test('a process that SIGSTOP stops says so until SIGCONT', async t => {
  using app = program('sleep', ['60'])
  await using watched = await ride({ select: { pid: app.pid } })
  const stopped = (text: string) => sample(text, 'app_process_state{state="stopped"}')
  t.equal(stopped(await watched.until(text => sample(text, 'app_process_up') === 1)), 0)
  app.child.kill('SIGSTOP')
  const text = await watched.until(text => stopped(text) === 1)
  t.equal(sample(text, 'app_process_up'), 1)
  t.match(watched.findings()[1]?.text, /is stopped .* until SIGCONT/)
  app.child.kill('SIGCONT')
  await watched.until(text => stopped(text) === 0)
  t.equal(watched.findings().length, 1)
})

t.test('a wrapper is called by the program that it becomes', async t => {
  using app = program('sh', ['-c', 'echo ready; read go; exec "$0" -e "setInterval(() => {}, 1000)"', NODE])
  await app.line()
  await using watched = await ride({ child: app.pid })
  const node = 'app_process_info{name="node",found_by="child"}'
  const before = await watched.until(text => sample(text, 'app_process_up') === 1)
  t.equal(sample(before, node), undefined)
  app.say('go')
  const after = await watched.until(text => sample(text, node) === 1)
  t.equal(after.match(/^app_process_info\{/gm)?.length, 1)
  t.equal(sample(after, 'app_process_restarts_total'), 0)
  t.match(watched.findings()[0]?.text, /process \d+ \(node\), found by child/)
})
