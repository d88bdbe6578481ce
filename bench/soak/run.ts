// The course of a soak. Three instances of one application: without a sidecar, beside a sidecar that also receives thousands of
// spans a second from elsewhere, and under `pillion run`. Each is restarted once a period, the configuration is reloaded once a
// period, and the sidecars are killed twice.

import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort, nodeFlags } from '../server.ts'
import { differences, ledgerOf, type Sent, show, together, total } from './accounts.ts'
import { Asked } from './ask.ts'
import type { Question as VisitQuestion, Answer as Visits } from './customers.ts'
import { Life } from './life.ts'
import { Application } from './ridden.ts'
import type { Account, Question as SendQuestion } from './sender.ts'
import { Sidecar } from './sidecar.ts'
import { NAMES, type Name, type Plan, type Soaked } from './soaked.ts'
import { type Act, Timetable } from './timetable.ts'
import { Usage } from './usage.ts'

const RATE = 5000
const VISITS_PER_SECOND = 40
const FULL_MINUTES = 20
/** Early, so that the third life is long enough to tell a leak from a heap that is being filled for the first time. */
const KILLED_AT = [0.15, 0.3] as const
const LIVES = KILLED_AT.length + 1
const HUNG_MS = 90_000
const SEEN_MS = 15_000

/** Expected warnings: bad configurations, and an application that is being restarted. */
const EXPECTED =
  /the configuration stays as it was|the application's process \d+ ended|nothing listens on port|application is down/

export async function soak(plan: Plan): Promise<Soaked> {
  await using open = new AsyncDisposableStack()
  return await new Soak(plan, open).run()
}

class Soak {
  readonly #plan: Plan
  readonly #open: AsyncDisposableStack
  readonly #period: number
  readonly #scrapeEvery: number
  readonly #lives: Life[] = []
  #sidecar!: Sidecar
  #applications!: Record<Name, Application>
  #sender!: Asked<SendQuestion, Account>
  #customers!: Asked<VisitQuestion, Visits>
  readonly #timetable = new Timetable(({ what }, error) => this.#life.wrong.push(`cannot ${what}: ${error}`))
  /** The sidecars of `pillion run`. */
  readonly #run = new Usage()
  #survived = 0
  #killed = 0
  #scrapes = 0
  #reloads = 0

  constructor(plan: Plan, open: AsyncDisposableStack) {
    this.#plan = plan
    this.#open = open
    const scale = Math.min(1, plan.minutes / FULL_MINUTES)
    this.#period = Math.max(Math.min(10, (plan.minutes * 60) / LIVES), 60 * scale)
    this.#scrapeEvery = Math.max(1, 5 * scale)
  }

  async run(): Promise<Soaked> {
    const watchdog = setInterval(() => {
      if (this.#timetable.stuckMs < HUNG_MS) return
      console.error(`hung for ${HUNG_MS / 1000} s: ${[...this.#timetable.doing.values()].join(', ') || 'at an end'}`)
      process.exit(1)
    }, 1000)
    this.#open.defer(() => clearInterval(watchdog))
    await this.#start()
    await this.#all()
    const end = await this.#end()
    const customers = await this.#customers.ask({ figures: true })
    const sender = await this.#sender.ask({ account: true })
    await Promise.all(NAMES.map(name => this.#applications[name].stop()))
    return {
      plan: this.#plan,
      rate: RATE,
      visits: VISITS_PER_SECOND,
      periodSeconds: this.#period,
      scrapeSeconds: this.#scrapeEvery,
      lives: this.#lives,
      customers,
      applications: this.#applications,
      run: { rssMost: this.#run.rssMost, cpu: this.#run.cpu, killed: this.#killed, survived: this.#survived },
      end,
      sender,
      minutes: this.#timetable.seconds / 60,
    }
  }

  get #life(): Life {
    return this.#lives.at(-1)!
  }

  async #start(): Promise<void> {
    const port = { alone: await freePort(), beside: await freePort(), run: await freePort() }
    // Accepts spans and discards them, so that the application does the same work with and without a sidecar.
    const sink = process.getBuiltinModule('node:http').createServer((request, answer) => {
      request.resume().on('end', () => answer.end('{}'))
    })
    sink.listen(0, '127.0.0.1')
    await once(sink, 'listening')
    this.#open.defer(() => void sink.close())
    const address = sink.address()
    if (typeof address !== 'object' || !address) throw new Error('a TCP server has an address')

    const application = `http://127.0.0.1:${port.beside}`
    this.#sidecar = await Sidecar.choose(this.#plan.main, this.#plan.folder, application)
    const under = [process.execPath, ...nodeFlags(this.#plan.main), this.#plan.main, 'run']
    const listeners = await Promise.all(['web.listen', 'otlp.http.listen', 'otlp.grpc.listen'].map(freeListener))
    const url = (name: Name) => `http://127.0.0.1:${port[name]}`
    const flags = [...listeners.flat(), '--log.level', 'error', '--app.url', url('run'), ...twoProbes(url('run'))]
    const endpoint = (to: number) => ({ OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${to}` })
    const named = (name: Name) => ({ name, port: port[name] })
    this.#applications = {
      alone: new Application({ ...named('alone'), env: { OTEL_SERVICE_NAME: 'alone', ...endpoint(address.port) } }),
      beside: new Application({
        ...named('beside'),
        env: { OTEL_SERVICE_NAME: 'beside', ...endpoint(this.#sidecar.ports.http) },
      }),
      run: new Application({ ...named('run'), before: [...under, ...flags, '--'] }),
    }
    this.#sender = this.#open.use(await Asked.start<SendQuestion, Account>(module('sender.ts')))
    this.#customers = this.#open.use(await Asked.start<VisitQuestion, Visits>(module('customers.ts')))
    await Promise.all(NAMES.map(name => this.#applications[name].start()))
    await this.#born()
    // Its code is compiled by now in all of them alike.
    await this.#customers.ask({ visit: port, rate: VISITS_PER_SECOND })
    await this.#send()
    const sampler = setInterval(() => {
      this.#life.sample()
      this.#run.sample(this.#applications.run.childPid)
    }, 1000)
    this.#open.defer(() => clearInterval(sampler))
  }

  /** Two lanes: actions on the sidecar happen in sequence, and the applications are restarted meanwhile. */
  async #all(): Promise<void> {
    const period = this.#period
    const periods = Math.max(LIVES, Math.round((this.#plan.minutes * 60) / period))
    const sidecar: Act[] = []
    const applications: Act[] = []
    for (let at = this.#scrapeEvery; at < periods * period; at += this.#scrapeEvery)
      sidecar.push({ at, what: 'scrape', act: () => this.#scrape(), within: this.#scrapeEvery, optional: true })
    for (let n = 1; n <= periods; n++) {
      const at = (share: number) => (n - 1 + share) * period
      sidecar.push({ at: at(0.1), what: 'reload', act: () => this.#reload(), optional: true })
      for (const [i, name] of NAMES.entries())
        applications.push({
          ...{ at: at(0.2 + 0.2 * i), what: `restart the application ${name}`, alone: true },
          act: () => this.#restart(this.#applications[name]),
        })
      sidecar.push({ at: at(0.9), what: 'compare', act: () => this.#quiet(n), alone: true, optional: true })
      if (KILLED_AT.some((share, i) => n === Math.max(i + 1, Math.round(periods * share))))
        sidecar.push({ at: at(1), what: 'kill', act: () => this.#rebirth(), alone: true })
    }
    await this.#timetable.run({ sidecar, applications })
  }

  async #born(): Promise<void> {
    const before = await this.#sent()
    if (!before) throw new Error('the application beside the sidecar does not answer')
    const server = this.#open.use(await this.#sidecar.start())
    this.#lives.push(new Life(this.#lives.length + 1, server, before))
  }

  async #send(): Promise<void> {
    const { http, grpc } = this.#sidecar.ports
    await this.#sender.ask({ send: { http, grpc, rate: RATE, bodies: this.#plan.bodies } })
  }

  /** The spans sent in all lives, as far as they are known; undefined while the application does not answer. */
  async #sent(): Promise<Sent | undefined> {
    const sender = await this.#sender.ask({ account: true })
    const application = await this.#applications.beside.account()
    return application && together(sender, application)
  }

  async #page(openMetrics = false): Promise<string> {
    const begin = performance.now()
    const page = await this.#sidecar.page(openMetrics)
    const life = this.#life
    life.scrapeMs.push(performance.now() - begin)
    const seconds = (performance.now() - life.begun) / 1000
    life.series.push({ seconds, count: page.match(/^[^#\n]/gm)?.length ?? 0 })
    return page
  }

  async #scrape(): Promise<void> {
    const life = this.#life
    const { beside } = this.#applications
    const { starts } = beside
    const before = await this.#sent()
    const ledger = ledgerOf(await this.#page(this.#scrapes++ % 2 === 1))
    const after = await this.#sent()
    // While the application is being restarted, its account is unknown.
    if (!before || !after || beside.starts !== starts) return
    life.bounded.made++
    const sum = ledger.received === ledger.accepted + ledger.refused
    const least = life.since(before).taken
    const most = life.since(after).offered + after.underWay
    if (sum && least <= ledger.received && ledger.received <= most) life.bounded.held++
    else life.wrong.push(`received ${show(ledger)}; acknowledged before ${least}, offered after ${most}`)
  }

  /** Nothing is sent for a moment, so that the accounts must be equal. */
  async #quiet(n: number): Promise<void> {
    const life = this.#life
    const { beside } = this.#applications
    // A restart that was late has been seen a second or two after it.
    const end = performance.now() + SEEN_MS
    while (unseen(await this.#page(), life).length > 0 && performance.now() < end) await sleep(500)
    const sender = await this.#sender.ask({ rest: true })
    // Its customers go on, and its SDK sends spans twice a second.
    const [page, application] = await beside.quietly(() => this.#page()).finally(() => this.#send())
    const sent = life.since(together(sender, application))
    const ledger = ledgerOf(page)
    const faults = differences(sent, ledger)
    life.exact.made++
    if (faults.length === 0) life.exact.held++
    life.sent = sent
    life.ledger = ledger
    life.restarts.seen = total(page, 'app_process_restarts_total')
    life.wrong.push(...[...faults, ...unseen(page, life)].map(fault => `at quiet moment ${n}: ${fault}`))
    this.#progress(n)
  }

  async #restart(application: Application): Promise<void> {
    const window = (now: boolean) => this.#customers.ask({ restarting: application.name, now })
    await window(true)
    application.restarting = true
    await application.stop()
    await application.start()
    application.restarting = false
    if (application.name === 'beside') this.#life.restarts.made++
    await window(false)
  }

  async #reload(): Promise<void> {
    const { reloads, server } = this.#life
    const good = this.#reloads++ % 4 !== 3
    if (!(await this.#sidecar.reload(server, good))) reloads.wrong++
    else reloads[good ? 'taken' : 'refused']++
    if (!good && !(await this.#sidecar.reload(server, true))) reloads.wrong++
  }

  /** Kills both sidecars in the middle of their work, and starts the one that stands alone again. */
  async #rebirth(): Promise<void> {
    const life = this.#life
    const run = this.#applications.run
    this.#killed++
    life.sample()
    life.server.process.kill('SIGKILL')
    await run.orphan()
    await life.server.ended
    this.#over('SIGKILL')
    // Requests in flight fail, and their senders must notice it before the next life begins.
    await sleep(300)
    await this.#born()
    if (await run.account()) this.#survived++
    this.#plan.progress(`life ${life.number} ended by SIGKILL; life ${this.#life.number} begins`)
  }

  async #end(): Promise<Soaked['end']> {
    const life = this.#life
    life.sample()
    const begin = performance.now()
    life.server.process.kill('SIGTERM')
    const code = await life.server.ended
    const seconds = (performance.now() - begin) / 1000
    await this.#sender.ask({ rest: true })
    this.#over('SIGTERM')
    return { code, seconds }
  }

  #over(how: string): void {
    const life = this.#life
    life.end = how
    const lines = life.server.said().split('\n')
    const unexpected = lines.filter(line => /level=(warn|error)/.test(line) && !EXPECTED.test(line))
    for (const line of unexpected.slice(-5)) life.wrong.push(`it says ${line}`)
  }

  #progress(n: number): void {
    const life = this.#life
    const { rss, fds, threads } = life.samples.at(-1) ?? { rss: 0, fds: 0, threads: 0 }
    this.#plan.progress(
      [
        `${(this.#timetable.seconds / 60).toFixed(1)} min, life ${life.number}, moment ${n}:`,
        `${life.ledger?.received} spans, exact ${life.exact.held} of ${life.exact.made}, between bounds ${life.bounded.held} of ${life.bounded.made};`,
        `RSS ${rss.toFixed(1)} MiB, ${fds} files, ${threads} threads, ${life.series.at(-1)?.count} series;`,
        `CPU ${(life.cpu * 100).toFixed(1)} %`,
      ].join(' '),
    )
  }
}

/** Everything that is missing in the metrics of an application that is running and healthy. */
function unseen(page: string, life: Life): string[] {
  const faults: string[] = []
  const f = (name: string, expected: number) => {
    const found = total(page, name)
    if (found !== expected) faults.push(`${name} is ${found} instead of ${expected}`)
  }
  f('app_process_up', 1)
  f('app_process_restarts_total', life.restarts.made)
  f('app_health_up', 2)
  return faults
}

function twoProbes(application: string): string[] {
  const port = new URL(application).host
  return [
    ...['--health.probes.0.name', 'page', '--health.probes.0.url', `${application}/healthz`],
    ...['--health.probes.0.interval', '1s'],
    ...['--health.probes.1.name', 'port', '--health.probes.1.kind', 'tcp', '--health.probes.1.address', port],
    ...['--health.probes.1.interval', '1s'],
  ]
}

async function freeListener(option: string): Promise<string[]> {
  return [`--${option}`, `127.0.0.1:${await freePort()}`]
}

function module(name: string): string {
  return join(import.meta.dirname, name)
}
