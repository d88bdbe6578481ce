// The disk of a real application, as df sees it; and one that lies in mounts of its own, as a container's.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { disk } from '../../collectors/disk.ts'
import { sample } from '../process/machine.ts'
import { impossible, NO_OTHER_USER, NOBODY } from '../process/real.ts'
import { scraped, world } from '../world.ts'

// Programs start slowly on a busy machine.
t.setTimeout(120_000)

const FAMILIES = disk.families.map(({ name }) => name)
const NO_MOUNT = impossible('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'none', '/mnt'], 'run as root')

/** Starts a program that says "ready" and waits. */
async function application(t: Test, cwd: string, command: string, ...args: readonly string[]): Promise<number> {
  const child = spawn(command, args, { cwd, stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  return child.pid!
}
const WAIT = 'echo ready; read end'

async function read(pid: number | undefined, proc = '/proc') {
  const host = world(proc, { pid })
  await using running = await disk.start({}, host)
  await running.collect?.(AbortSignal.timeout(10_000))
  const facts = await running.facts?.()
  return { text: await scraped(host), findings: running.findings?.() ?? [], facts, logged: host.logged }
}

t.test('size, space and inodes are those that df prints', async t => {
  const cwd = t.testdir({})
  const pid = await application(t, cwd, 'sh', '-c', WAIT)
  const { text, findings, facts } = await read(pid)
  const df = spawnSync('df', ['-B1', '--output=size,avail,itotal,iavail', '.'], { cwd, encoding: 'utf8' }).stdout
  const [size, available, inodes, freeInodes] = df.trim().split('\n')[1]!.trim().split(/\s+/).map(Number)
  // Others write to this disk meanwhile.
  const near = (name: string, expected: number) =>
    t.ok(Math.abs(sample(text, name)! - expected) <= expected * 0.02, `${name}: df says ${expected}`)
  t.equal(sample(text, 'app_disk_size_bytes'), size)
  near('app_disk_available_bytes', available!)
  t.ok(sample(text, 'app_disk_free_bytes')! >= sample(text, 'app_disk_available_bytes')!)
  t.equal(sample(text, 'app_disk_inodes'), inodes)
  near('app_disk_free_inodes', freeInodes!)
  t.same(findings, [])
  t.match(facts, [{ name: 'available', value: sample(text, 'app_disk_available_bytes'), unit: 'bytes' }])
})

t.test("a disk that is mounted for the application alone is read as the application's", { skip: NO_MOUNT }, async t => {
  const cwd = t.testdir({ disk: {} })
  const script = `mount -t tmpfs -o size=8m,nr_inodes=100 none disk && cd disk && dd if=/dev/zero of=file bs=1M count=3 2>/dev/null; ${WAIT}`
  const pid = await application(t, cwd, 'unshare', '--mount', 'sh', '-c', script)
  const { text } = await read(pid)
  const MIB = 1024 ** 2
  const expected = [8 * MIB, 5 * MIB, 5 * MIB, 100, 98]
  t.same(
    FAMILIES.map(name => sample(text, name)),
    expected,
  )
})

t.test('a working directory that was deleted is still on its disk', async t => {
  const cwd = join(t.testdir({}), 'deleted')
  mkdirSync(cwd)
  const pid = await application(t, cwd, 'sh', '-c', WAIT)
  rmSync(cwd, { recursive: true })
  t.ok(sample((await read(pid)).text, 'app_disk_size_bytes')! > 0)
})

t.test('without a process, or when it has just ended, nothing is said', async t => {
  for (const pid of [undefined, 4_194_304]) {
    const { text, findings, logged } = await read(pid)
    for (const name of FAMILIES) t.equal(sample(text, name), undefined, name)
    t.same(findings, [])
    t.same(logged, [])
  }
})

t.test('a file system without a number of inodes has none', async t => {
  // /proc itself counts neither blocks nor inodes.
  const { text } = await read(7, t.testdir({ 7: { cwd: t.fixture('symlink', '/proc') } }))
  t.equal(sample(text, 'app_disk_size_bytes'), 0)
  t.equal(sample(text, 'app_disk_inodes'), undefined)
  t.equal(sample(text, 'app_disk_free_inodes'), undefined)
})

t.test('a file system that does not answer in time costs the scrape nothing else, and is read again', async t => {
  const host = world('/proc', { pid: process.pid })
  await using running = await disk.start({}, host)
  await t.rejects(Promise.resolve(running.collect?.(AbortSignal.abort(new Error('the scrape is over')))))
  const empty = host.metrics.registry.getSingleMetric('app_disk_size_bytes')
  t.same((await empty?.get())?.values, [])
  t.match(running.findings?.()[0]?.text, /the file system of \/proc\/\d+\/cwd does not answer/)
  const again = async (): Promise<boolean> =>
    Promise.resolve(running.collect?.(AbortSignal.timeout(10_000))).then(
      () => true,
      () => false,
    )
  while (!(await again())) await new Promise(setImmediate)
  t.ok(sample(await scraped(host), 'app_disk_size_bytes')! > 0)
  t.same(running.findings?.(), [])
})

t.test('another user is told which permission is missing', { skip: NO_OTHER_USER }, async t => {
  const pid = await application(t, t.testdir({}), 'sh', '-c', WAIT)
  const source = `
    const { disk } = await import(${JSON.stringify(join(import.meta.dirname, '../../collectors/disk.ts'))})
    const { scraped, world } = await import(${JSON.stringify(join(import.meta.dirname, '../world.ts'))})
    const host = world('/proc', { pid: ${pid} })
    const running = await disk.start({}, host)
    for (const _ of [1, 2]) await running.collect(AbortSignal.timeout(10_000))
    console.log(JSON.stringify({ text: await scraped(host), findings: running.findings(), logged: host.logged }))`
  const args = [...NOBODY, process.execPath, '--input-type=module', '-e', source]
  const said = spawnSync('setpriv', args, { encoding: 'utf8' })
  t.equal(said.status, 0, said.stderr)
  const { text, findings, logged } = JSON.parse(said.stdout)
  for (const name of FAMILIES) t.equal(sample(text, name), undefined, name)
  t.match(findings[0].text, /cannot read \/proc\/\d+\/cwd .*; run the sidecar with UID 0 and GID 0/)
  t.equal(logged.length, 1, 'logged once')
})
