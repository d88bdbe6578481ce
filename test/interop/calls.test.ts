// gRPC's own clients for four languages, of which none shares code with another, in the ways that applications use them: many
// calls at once, large messages, deadlines, calls that are cancelled half sent, pings, long metadata, TLS, and a receiver that
// stops meanwhile. Node's is in test/otlp/http2/clients.test.ts.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Child, until } from '../e2e/child.ts'
import { missing } from '../e2e/programs.ts'
import { type Ride, startSidecar } from '../e2e/ride.ts'
import { many, span, traces } from '../otlp/requests.ts'
import { compiled, go, INSTALLING_MS, oldCargo, oldGo, python, rust, source } from './programs.ts'

t.setTimeout(4 * INSTALLING_MS)

type Scenario = 'many' | 'sizes' | 'deadline' | 'cancel' | 'metadata' | 'keepalive' | 'tls' | 'going'
/** Calls by their code. */
type Codes = Readonly<Record<string, number>>

interface Client {
  readonly name: string
  readonly skip: string | false
  /** Its scenarios besides those that all have. */
  readonly more: readonly Exclude<Scenario, 'going'>[]
  install(): Promise<readonly [command: string, ...args: string[]]>
}

// grpc-go and grpc-java ping every ten seconds at most, so these are not asked to ping often.
const CLIENTS: readonly Client[] = [
  {
    name: 'grpc-go',
    skip: missing('go', 'golang-go') || oldGo(),
    more: ['tls'],
    install: async () => [await go('calls')],
  },
  {
    name: 'grpc-java',
    skip: missing('javac', 'default-jdk-headless') || missing('mvn', 'maven'),
    more: ['tls'],
    install: async () => ['java', ...(await compiled('Calls'))],
  },
  {
    name: 'grpcio',
    skip: missing('python3', 'python3-venv'),
    more: ['keepalive', 'tls'],
    install: async () => [await python(), source('python/calls.py')],
  },
  {
    name: 'tonic',
    skip: missing('cargo', 'cargo') || oldCargo(),
    more: ['keepalive'],
    install: async () => [await rust()],
  },
]

const MIB = 2 ** 20

/** The messages that clients send, as files, and the spans in each. */
const BODIES = { one: 1, mib: 7000, four: 28_500 } as const
const folder = t.testdir()
writeFileSync(join(folder, 'one'), traces([], span('one')))
for (const name of ['mib', 'four'] as const) writeFileSync(join(folder, name), many('a'.repeat(100), BODIES[name]))
const four = many('a'.repeat(100), BODIES.four).length
t.ok(four > 4 * MIB && four < 5 * MIB, `${four} bytes are a little more than the 4 MiB that gRPC's servers take`)
writeFileSync(join(folder, 'over'), Buffer.alloc(16 * MIB + 1))

for (const { name, skip, more, install } of CLIENTS)
  t.test(name, { skip }, async t => {
    const command = await install()
    const scenarios: Exclude<Scenario, 'going'>[] = ['many', 'sizes', 'deadline', 'cancel', 'metadata', ...more]
    for (const scenario of scenarios)
      await t.test(SENTENCES[scenario], async t => {
        await using ride = await startSidecar()
        const codes = await calls(command, ride, scenario)
        t.comment(JSON.stringify(codes))
        await EXPECTED[scenario](t, ride, codes)
        await until('all that was held to be given back', async () => {
          const held = await ride.value('pillion_memory_used_bytes', { part: 'otlp' })
          return held === 0 || undefined
        })
        t.equal(await ride.value('pillion_otlp_inflight_bytes'), 0)
      })
    await t.test('calls that go on while the sidecar stops are answered, or may be sent again', async t => {
      await using ride = await startSidecar()
      const going = calls(command, ride, 'going')
      await until('calls', async () => ((await accepted(ride)) > 100 ? true : undefined))
      t.same(await ride.child.stop(), { code: 0, signal: null })
      const codes = await going
      t.comment(JSON.stringify(codes))
      t.ok((codes['14'] ?? 0) > 0, 'UNAVAILABLE, which exporters send again')
      // 1, CANCELLED, is what tonic makes of a connection that closes under a call.
      t.same(
        Object.keys(codes).filter(code => code !== '1'),
        ['0', '14'],
      )
      const taken = Number(/ traces_accepted=(\d+)/.exec(ride.child.stderr)?.[1])
      t.equal(codes['0'], taken, 'each span that was taken is acknowledged')
    })
  })

const SENTENCES: Readonly<Record<Exclude<Scenario, 'going'>, string>> = {
  many: 'two thousand calls, hundreds at a time, on one connection: each is answered and taken once',
  sizes:
    'messages of 1 MiB and of a little more than 4 are taken, also in gzip, and one over the limit is refused as too large',
  deadline: 'deadlines that pass in the middle of a message harm no other call',
  cancel: 'sixty calls that are cancelled in the middle harm no other call',
  metadata: 'metadata of 8 kB is taken, 20 kB are refused, and the next call is answered',
  keepalive: 'pings every 200 ms do not cost the connection',
  tls: 'a client that speaks TLS learns that it cannot, and so does the operator',
}

type Expect = (t: Test, ride: Ride, codes: Codes) => Promise<void>

const EXPECTED: Readonly<Record<Scenario, Expect>> = {
  async many(t, ride, codes) {
    t.same(codes, { 0: 2000 })
    t.equal(await accepted(ride), 2000)
  },
  async sizes(t, ride, codes) {
    t.same(codes, { 0: 3, 8: 1 })
    t.equal(await accepted(ride), BODIES.mib + 2 * BODIES.four)
  },
  async deadline(t, ride, codes) {
    // tonic cancels a call that is late.
    const { 0: taken = 0, 1: cancelled = 0, 4: late = 0 } = codes
    t.equal(taken + cancelled + late, 21, 'each is taken or late')
    t.ok(taken >= 1 && taken <= 11)
    await atLeast(t, ride, BODIES.one + (taken - 1) * BODIES.four)
  },
  async cancel(t, ride, codes) {
    const { 0: taken = 0, 1: cancelled = 0 } = codes
    t.equal(taken + cancelled, 61, 'each is taken or cancelled')
    t.ok(taken >= 1 && cancelled >= 10)
    await atLeast(t, ride, BODIES.one + (taken - 1) * BODIES.four)
  },
  async metadata(t, ride, codes) {
    const { 0: taken = 0, ...others } = codes
    t.equal(taken, 2)
    t.same(Object.values(others), [1])
    t.equal(await accepted(ride), 2)
  },
  async keepalive(t, ride, codes) {
    t.same(codes, { 0: 2 })
    t.equal(await accepted(ride), 2)
  },
  async tls(t, ride, codes) {
    t.same(codes, { 14: 1 })
    await ride.child.says(/TLS/)
  },
  async going() {},
}

/** The client may have missed answers, and no span is taken that was not sent. */
async function atLeast(t: Test, ride: Ride, spans: number): Promise<void> {
  const taken = await accepted(ride)
  t.ok(taken >= spans, `${taken} spans taken, ${spans} acknowledged`)
  t.equal((taken - BODIES.one) % BODIES.four, 0, 'no message is taken in part')
}

async function accepted(ride: Ride): Promise<number> {
  return (await ride.value('pillion_otlp_accepted_items_total', { signal: 'traces' })) ?? 0
}

async function calls(command: readonly string[], ride: Ride, scenario: Scenario): Promise<Codes> {
  const [program = '', ...args] = command
  await using client = await Child.start(program, [...args, new URL(ride.grpc).host, folder, scenario])
  const { code } = await client.ended
  if (code !== 0) throw new Error(`the client failed:\n${client.stderr}`)
  // The clients write Codes.
  return JSON.parse(client.stdout) as Codes
}
