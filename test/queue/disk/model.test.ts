// The queue beside a model of it: a list of what was appended, and a set of what was dealt with. fast-check makes up what
// happens to both: requests, batches, syncs, and ends of the process or of the power at any byte, disks that become full at any
// byte, bits that change, second processes, and clocks that jump.
//
// Promises that must hold at the end of each run: whatever was said to be safe and was not dealt with comes out,
// nothing comes out that was not put in, bytes come out as they went in, and the account is exact at every step.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { type DiskQueue, openDisk } from '../../../queue/disk/queue.ts'
import type { Batch, QueueLoss } from '../../../queue/queue.ts'
import { Memory } from '../../../telemetry/memory.ts'
import { SIGNALS, type Signal } from '../../../telemetry/request.ts'
import fc from '../../property.ts'
import { FakeClock } from '../../world.ts'
import { Faulty, numbers, Powered, root } from './folder.ts'

const RUNS = Number(process.env['RUNS'] ?? 25)
const EPOCH = 1_750_000_000_000

/** One request of the model. */
interface Known {
  readonly number: number
  readonly signal: Signal
  readonly text: string
}

class Model {
  readonly appended = new Map<number, Known>()
  /** Said to be safe. */
  readonly safe = new Set<number>()
  readonly done = new Set<number>()
  /** Appended by this process. */
  mine: number[] = []
  /** Records that the run has damaged, at most. */
  forgiven = 0
  /** Counted as lost by processes that have ended. */
  lost = 0
  damaged = false
  /** Handed out by this process. */
  readonly out = new Map<Batch, readonly number[]>()
  next = 1
}

/** The queue, as it is opened again and again. */
class Real {
  readonly folder: string
  readonly memory = new Memory(1 << 30)
  readonly clock: Jumping
  files = new Faulty()
  queue!: DiskQueue
  readonly sync: 'interval' | 'request'
  readonly most: number
  readonly #disk: (folder: string) => Faulty
  /** Of this process. */
  lost = 0
  reasons: QueueLoss[] = []
  count = { appended: 0, done: 0 }

  constructor(
    folder: string,
    sync: 'interval' | 'request',
    most: number,
    disk: (folder: string) => Faulty = () => new Faulty(),
  ) {
    this.folder = folder
    this.#disk = disk
    this.clock = new Jumping()
    this.sync = sync
    this.most = most
  }

  async open(): Promise<void> {
    const files = this.#disk(this.folder)
    this.files = files
    this.lost = 0
    this.count = { appended: 0, done: 0 }
    const { clock, sync } = this
    const silent = { info() {}, warn() {}, error() {} }
    this.queue = await openDisk(
      `${this.folder}/queue`,
      this.most,
      {
        ...{ clock, sync, log: silent, memory: this.memory.allot(`${Math.random()}`, 2 << 20) },
        lose: (_signal, reason, items) => {
          this.lost += items
          this.reasons.push(reason)
        },
      },
      files,
    )
  }

  /** recovered + appended = done + lost + held. */
  account(): void {
    let [recovered, held] = [0, 0]
    for (const signal of SIGNALS) {
      recovered += this.queue.recovered(signal)
      held += this.queue.held(signal).items
      const { bytes } = this.queue.held(signal)
      if (bytes.memory < 0 || bytes.disk < 0 || this.queue.waiting(signal) < 0)
        throw new Error(`less than nothing of ${signal}`)
    }
    const [put, got] = [recovered + this.count.appended, this.count.done + this.lost + held]
    if (put !== got)
      throw new Error(
        `${recovered} + ${this.count.appended} went in, ${this.count.done} + ${this.lost} + ${held} is accounted for`,
      )
  }

  get size(): number {
    return SIGNALS.flatMap(signal =>
      readdirSync(`${this.folder}/queue/${signal}`)
        .filter(name => name.endsWith('.q'))
        .map(name => readFileSync(`${this.folder}/queue/${signal}/${name}`).length),
    ).reduce((sum, size) => sum + size, 0)
  }
}

/** A clock whose wall time can be set. */
class Jumping extends FakeClock {
  wall = 0

  constructor() {
    super(EPOCH)
  }

  override now(): number {
    return super.now() + this.wall
  }
}

type Command = fc.AsyncCommand<Model, Real>

function command(name: string, run: (model: Model, real: Real) => Promise<void>): Command {
  return {
    check: () => true,
    async run(model, real) {
      await run(model, real)
      real.account()
    },
    toString: () => name,
  }
}

const append = fc
  .record({
    signal: fc.constantFrom(...SIGNALS),
    length: fc.oneof(fc.integer({ min: 10, max: 200 }), fc.integer({ min: 1000, max: 90_000 })),
    count: fc.integer({ min: 1, max: 20 }),
  })
  .map(({ signal, length, count }) =>
    command(`append ${count} × ${length} ${signal}`, async (model, real) => {
      for (let i = 0; i < count; i++) {
        const number = model.next++
        const text = `<${number}>`.padEnd(length, String.fromCharCode(97 + (number % 26)))
        model.appended.set(number, { number, signal, text })
        real.queue.append({ signal, bytes: Buffer.from(text), items: 1, received: real.clock.now() })
        real.count.appended++
        model.mine.push(number)
      }
    }),
  )

const turn = fc.constant(command('a turn of the loop', () => new Promise(resolve => setImmediate(resolve))))

const sync = fc.constant(
  command('sync', async (model, real) => {
    const before = [...model.mine]
    if (await real.queue.sync()) for (const each of before) model.safe.add(each)
  }),
)

const read = fc.constantFrom(...SIGNALS).map(signal =>
  command(`next ${signal}`, async (model, real) => {
    const batch = await real.queue.next(signal)
    if (batch) model.out.set(batch, check(model, batch))
    // An end of the process while it handles a batch speaks against the batch (start.test.ts).
    await new Promise(resolve => setImmediate(resolve))
  }),
)

/** The numbers in a batch, each with exactly the bytes that went in. */
function check(model: Model, batch: Batch): number[] {
  const found = numbers([batch])
  const text = found.map(number => model.appended.get(number)?.text).join('')
  if (text !== batch.bytes.toString('latin1')) throw new Error('a batch came out changed')
  if (batch.items !== found.length) throw new Error(`${batch.items} items are said, and there are ${found.length}`)
  for (const number of found)
    if (model.appended.get(number)?.signal !== batch.signal) throw new Error('it came out as another signal')
  return found
}

const acknowledge = fc.nat(5).map(which =>
  command(`done ${which}`, async (model, real) => {
    const batch = [...model.out.keys()].at(which)
    if (!batch) return
    check(model, batch)
    real.queue.done(batch)
    real.count.done += batch.items
    for (const number of model.out.get(batch) ?? []) model.done.add(number)
    model.out.delete(batch)
  }),
)

const giveBack = fc.nat(5).map(which =>
  command(`give back ${which}`, async (model, real) => {
    const batch = [...model.out.keys()].at(which)
    if (!batch) return
    real.queue.giveBack(batch)
    model.out.delete(batch)
  }),
)

const time = fc.constantFrom(500, 1000, 5000, 60_000).map(ms =>
  command(`${ms} ms pass`, async (_model, real) => {
    for (let i = 0; i < Math.min(ms / 500, 12); i++) {
      await real.clock.pass(500)
      await new Promise(resolve => setImmediate(resolve))
    }
  }),
)

const jump = fc.constantFrom(-86_400_000, -3000, 3000, 86_400_000).map(ms =>
  command(`the clock jumps by ${ms} ms`, async (_model, real) => {
    real.clock.wall += ms
  }),
)

/** The process ends, whatever it was doing, when so many more bytes have been written. */
const crash = fc.nat(200_000).map(bytes =>
  command(`end of the process after ${bytes} bytes more`, async (model, real) => {
    real.files.after = 'crash'
    real.files.left = bytes
    const before = [...model.mine]
    const safe = await real.queue.sync()
    if (safe && !real.files.dead) for (const each of before) model.safe.add(each)
    await close(model, real)
    await real.open()
  }),
)

/** The end of a process that can do nothing more. */
async function close(model: Model, real: Real, meanwhile: () => void = () => {}): Promise<void> {
  real.files.dead = true
  meanwhile()
  const { lost } = real
  await real.queue[Symbol.asyncDispose]()
  // Nobody hears of its end.
  real.lost = lost
  model.lost += lost
  model.out.clear()
  model.mine = []
}

const end = fc.constant(
  command('an orderly end', async (model, real) => {
    const before = [...model.mine]
    const { lost } = real
    const usable = real.queue.disk().usable
    await real.queue[Symbol.asyncDispose]()
    if (usable && real.lost === lost) for (const each of before) model.safe.add(each)
    model.lost += real.lost
    model.out.clear()
    model.mine = []
    await real.open()
  }),
)

const full = fc.nat(300_000).map(bytes =>
  command(`the disk has room for ${bytes} bytes`, async (_model, real) => {
    real.files.after = 'full'
    real.files.left = bytes
  }),
)

const space = fc.constant(
  command('the disk has room again', async (_model, real) => {
    real.files.left = Infinity
    for (let i = 0; i < 12; i++) await real.clock.pass(500)
  }),
)

const syncFails = fc.integer({ min: 1, max: 3 }).map(count =>
  command(`the next ${count} syncs fail`, async (_model, real) => {
    real.files.failingSyncs = count
  }),
)

const second = fc.constant(
  command('a second process tries to open it', async (_model, real) => {
    const other = new Real(real.folder, real.sync, real.most)
    const refused = await other.open().then(
      () => false,
      () => true,
    )
    if (!refused) throw new Error('two processes have it open')
  }),
)

/** A bit of some file changes while no process has it open. */
const flip = fc.record({ which: fc.nat(), at: fc.nat(), bit: fc.nat(7) }).map(({ which, at, bit }) =>
  command(`bit ${bit} of byte ${at} of file ${which} changes`, async (model, real) => {
    await close(model, real)
    const paths = readdirSync(`${real.folder}/queue`, { recursive: true, encoding: 'utf8' })
      .filter(name => /\.q$|cursor$|trying$/.test(name))
      .sort()
    const name = paths[which % Math.max(1, paths.length)]
    const bytes = name === undefined ? Buffer.alloc(0) : readFileSync(`${real.folder}/queue/${name}`)
    if (bytes.length > 0) {
      bytes[at % bytes.length]! ^= 1 << bit
      writeFileSync(`${real.folder}/queue/${name}`, bytes)
      model.damaged = true
      // One record, or all of a file whose head it was.
      if (name?.endsWith('.q')) model.forgiven += at % bytes.length < 32 ? numbersIn(bytes) : 1
    }
    await real.open()
  }),
)

function numbersIn(bytes: Buffer): number {
  return [...bytes.toString('latin1').matchAll(/<\d+>/g)].length
}

const commands = [append, append, append, turn, sync, read, read, acknowledge, acknowledge, giveBack, time, jump]

/** Runs commands, then takes out everything and compares. */
async function run(
  t: Test,
  parts: readonly fc.Arbitrary<Command>[],
  most: number,
  only?: 'request',
  disk?: (folder: string) => Faulty,
): Promise<void> {
  let ends = 0
  const settings = fc.record({
    sync: fc.constantFrom(...(only ? [only] : (['interval', 'request'] as const))),
    steps: fc.commands([...parts], { maxCommands: 60, size: '+1' }),
  })
  await fc.assert(
    fc.asyncProperty(settings, async ({ sync, steps }) => {
      const folder = root(t)
      const real = new Real(folder, sync, most, disk)
      const model = new Model()
      await real.open()
      try {
        await fc.asyncModelRun(() => ({ model, real }), steps)
        ends++
        await finish(model, real, most)
      } finally {
        real.files.dead = true
        await real.queue[Symbol.asyncDispose]()
      }
    }),
    { numRuns: RUNS, ...(process.env['SEED'] && { seed: Number(process.env['SEED']) }) },
  )
  t.ok(ends >= RUNS, `${ends} runs`)
}

async function finish(model: Model, real: Real, most: number): Promise<void> {
  for (const batch of model.out.keys()) real.queue.giveBack(batch)
  model.out.clear()
  const came = new Set<number>()
  for (const signal of SIGNALS)
    for (let batch = await real.queue.next(signal); batch; batch = await real.queue.next(signal)) {
      for (const number of check(model, batch)) came.add(number)
      real.queue.done(batch)
      real.count.done += batch.items
    }
  real.account()
  for (const signal of SIGNALS) {
    const { items, bytes } = real.queue.held(signal)
    if (items + bytes.disk + bytes.memory !== 0) throw new Error(`${signal}: something is held for ever`)
  }
  const missing = [...model.safe].filter(each => !model.done.has(each) && !came.has(each))
  if (missing.length > model.forgiven + model.lost + real.lost)
    throw new Error(`lost without a word: ${missing.join(', ')}`)
  if (!model.damaged && real.reasons.some(reason => reason === 'corrupt' || reason === 'poison'))
    throw new Error(`undamaged files are said to be: ${real.reasons.join(', ')}`)
  if (real.size > most + (1 << 20)) throw new Error(`${real.size} bytes of files, and ${most} are allowed`)
}

const ends = [crash, end, second]

t.test('any order of requests, batches, and ends of the process at any byte', t =>
  run(t, [...commands, ...ends], 64 << 20),
)

t.test('the same with a bound that is reached', t => run(t, [...commands, ...ends], 1 << 20))

t.test('the same on a disk that becomes full at any byte, and syncs that fail', t =>
  run(t, [...commands, ...ends, full, full, space, syncFails], 64 << 20),
)

t.test('the same with bits that change', t => run(t, [...commands, ...ends, flip], 64 << 20))

t.test('the power goes at any moment: with sync: request, what was said to be safe is there', async t => {
  const power = fc.constant(
    command('the power goes', async (model, real) => {
      const files = real.files as Powered
      await close(model, real, () => files.off(`${real.folder}/queue`))
      await real.open()
    }),
  )
  await run(t, [...commands, end, power, power, syncFails], 64 << 20, 'request', folder => {
    const files = new Powered()
    files.keep(`${folder}/queue`)
    return files
  })
})
