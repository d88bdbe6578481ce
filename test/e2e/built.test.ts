// What `npm run build` makes: it runs without type stripping, and idles within its budget.

import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { startShop } from '../shop/services.ts'
import { Child, freePort, until } from './child.ts'
import { BUILT, startSidecar } from './ride.ts'

const BUILD = fileURLToPath(new URL('../../scripts/build.ts', import.meta.url))
const BUDGET_MIB = 80

t.before(async () => {
  await using build = await Child.start(process.execPath, [BUILD])
  const { code } = await build.ended
  if (code !== 0) throw new Error(`cannot build:\n${build.stdout}${build.stderr}`)
})

t.test('the build is a program: executable, with types, and it knows its version', async t => {
  t.ok(statSync(BUILT).mode & 0o111)
  t.match(readFileSync(BUILT, 'utf8'), /^#!\/usr\/bin\/env -S node --/)
  t.ok(existsSync(BUILT.replace(/\.js$/, '.d.ts')))
  await using version = await Child.start(process.execPath, ['--no-experimental-strip-types', BUILT, 'version'])
  t.equal((await version.ended).code, 0)
  t.match(version.stdout, JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version)
})

t.test(`idle, with health, process, OTLP and web on, it holds less than ${BUDGET_MIB} MiB`, async t => {
  const port = await freePort()
  await using ride = await startSidecar({ main: BUILT, flags: ['--app.url', `http://127.0.0.1:${port}`] })
  t.comment(`CPU from start to ready: ${cpuSeconds(ride.child.pid).toFixed(2)} s`)
  await using _shop = await startShop(ride.otlp, port)
  await until('health and process', async () => {
    const [health, process] = [await ride.value('app_health_up'), await ride.value('app_process_up')]
    return (health === 1 && process === 1) || undefined
  })
  for (let n = 0; n < 20; n += 1) await ride.scrape()
  // At rest: nothing else is sent, and garbage is left to V8.
  await new Promise(resolve => setTimeout(resolve, 3000))
  const { rss, anonymous } = memory(ride.child.pid)
  t.comment(`idle RSS of the built sidecar: ${rss.toFixed(1)} MiB, of it anonymous ${anonymous.toFixed(1)} MiB`)
  t.ok(rss < BUDGET_MIB, `${rss.toFixed(1)} MiB`)
})

t.test(
  'a hundred wrong tokens a second cost less than a twentieth of a core, and none of them opens the door',
  async t => {
    const file = join(t.testdir({ token: 'right' }), 'token')
    await using ride = await startSidecar({ main: BUILT, flags: ['--web.token_file', file] })
    const ask = async (authorization: string): Promise<number> => {
      const answer = await fetch(`${ride.web}/metrics`, { headers: { authorization } })
      await answer.arrayBuffer()
      return answer.status
    }
    t.equal(await ask('Bearer right'), 200)
    const codes = new Set<number>()
    const refused = async (count: number): Promise<number> => {
      const before = cpuSeconds(ride.child.pid)
      for (let n = 0; n < count; n += 1) codes.add(await ask(`Bearer ${'wrong'.repeat(n % 100)}`))
      return cpuSeconds(ride.child.pid) - before
    }
    // What it costs for as long as it lasts, not what V8 compiles at first.
    await refused(1000)
    const share = (await refused(2000)) / (2000 / 100)
    t.comment(`${(share * 100).toFixed(1)} % of a core`)
    t.same(codes, new Set([401]))
    t.equal(await ride.value('pillion_web_refused_requests_total', { reason: 'token' }), 3000)
    // 1 %; when they come one each 10 ms and find cold caches, 3 % (2 % for an HTTP server of Node that does nothing). One
    // comparison with bcrypt would be 50 ms: five cores.
    t.ok(share < 0.05, `${(share * 100).toFixed(1)} %`)
  },
)

/** proc_pid_status(5): kB are KiB. */
function memory(pid: number): { rss: number; anonymous: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const mebibytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024
  return { rss: mebibytes('VmRSS'), anonymous: mebibytes('RssAnon') }
}

/** proc_pid_stat(5): utime and stime are fields 14 and 15, in ticks of 10 ms (USER_HZ is 100 on every Linux). */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The command name may contain spaces, so fields are counted from the ')' that ends it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}
