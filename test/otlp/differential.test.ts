import { readFileSync } from 'node:fs'
import protobuf from 'protobufjs'
import t from 'tap'
import { transcode } from '../../otlp/json.ts'
import { type Field, MESSAGES, type Message } from '../../otlp/schema.ts'
import { disagreement } from './compare.ts'
import { generate, mutate, Random, REQUEST, type Signal } from './generate.ts'
import { decoder, root } from './protobufjs.ts'

const RUNS = 20_000
const seed = Number(process.env['SEED'] ?? 1)

t.test('the schema is the published one, field by field', async t => {
  const published = new Map<string, protobuf.Type>()
  const collect = (space: protobuf.NamespaceBase) => {
    for (const each of space.nestedArray) {
      if (each instanceof protobuf.Type) published.set(renamed(each.name), each)
      if (each instanceof protobuf.Namespace) collect(each)
    }
  }
  collect(root)
  for (const { name, fields } of MESSAGES) {
    const type = published.get(name)
    if (!type) {
      t.fail(`${name} is not published`)
      continue
    }
    const line = (number: number, name: string, type: string, repeated: boolean) =>
      `${number} ${name} ${type}${repeated ? '*' : ''}`
    const ours = fields.map(each =>
      line(
        each.number,
        each.name,
        each.message?.name ?? (each.names ? 'enum' : ((each.scalar === 'id' ? 'bytes' : each.scalar) ?? '')),
        each.repeated,
      ),
    )
    const theirs = type.fieldsArray.map(each => {
      const resolved = each.resolve().resolvedType
      const kind = resolved instanceof protobuf.Enum ? 'enum' : resolved ? renamed(resolved.name) : each.type
      return line(
        each.id,
        each.name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`),
        kind,
        each.repeated,
      )
    })
    t.same(ours.toSorted(), theirs.toSorted(), name)
  }
})

t.test(`${RUNS} requests are understood as protobufjs understands them (SEED=${seed})`, async t => {
  const random = new Random(seed)
  const counts = { generated: 0, mutated: 0, refused: 0 }
  for (let i = 0; i < RUNS; i++) {
    const signal: Signal = i % 10 < 7 ? 'traces' : i % 10 < 9 ? 'metrics' : 'logs'
    const whole = generate(random, signal)
    const bytes = random.once(2) ? whole : mutate(random, whole)
    counts[bytes === whole ? 'generated' : 'mutated']++
    const difference = disagreement(signal, bytes)
    if (!readable(signal, bytes)) counts.refused++
    if (difference) {
      t.fail(`${difference}\n${signal} ${bytes.toString('hex')}`)
      break
    }
  }
  t.comment(JSON.stringify(counts))
  t.ok(counts.generated > 5000 && counts.refused > 2000, 'both kinds of verdict were compared')
})

t.test(`requests written as OTLP/JSON become the same requests again (SEED=${seed})`, async t => {
  const random = new Random(seed + 1)
  for (let i = 0; i < 2000; i++) {
    const signal = random.pick(['traces', 'metrics', 'logs'] as const)
    // From protobufjs' own bytes, so that what it cannot say (unknown fields, two of one kind) is gone on both sides.
    const request = generate(random, signal)
    if (!readable(signal, request)) continue
    const whole = canonical(signal, request)
    const json = toJson(REQUEST[signal], decoder(signal).decode(whole))
    const made = transcode(Buffer.from(JSON.stringify(json)), REQUEST[signal], 1 << 24)
    const same = made.ok && canonical(signal, made.bytes).equals(whole)
    if (same) continue
    t.fail(`${made.ok ? 'different' : made.why}\n${JSON.stringify(json)}`)
    return
  }
  t.pass()
})

t.test(`JSON.parse accepts everything that the transcoder accepts (SEED=${seed})`, async t => {
  const random = new Random(seed + 2)
  const text = (file: string) => readFileSync(new URL(`../fixtures/otlp/${file}.json`, import.meta.url))
  const counts = { accepted: 0, refused: 0 }
  for (let i = 0; i < 5000; i++) {
    const bytes = mutate(random, text(random.pick(['trace', 'metrics', 'logs'])))
    const made = transcode(bytes, REQUEST[random.pick(['traces', 'metrics', 'logs'] as const)], 1 << 24)
    counts[made.ok ? 'accepted' : 'refused']++
    if (!made.ok || parses(bytes)) continue
    t.fail(`accepted: ${JSON.stringify(bytes.toString('latin1'))}`)
    return
  }
  t.comment(JSON.stringify(counts))
  t.ok(counts.accepted > 100 && counts.refused > 1000, 'both verdicts came up')
})

function readable(signal: Signal, bytes: Buffer): boolean {
  try {
    decoder(signal).decode(bytes)
    return true
  } catch {
    return false
  }
}

function parses(bytes: Buffer): boolean {
  try {
    JSON.parse(bytes.toString())
    return true
  } catch {
    return false
  }
}

function canonical(signal: Signal, bytes: Buffer): Buffer {
  const type = decoder(signal)
  return Buffer.from(type.encode(type.decode(bytes)).finish())
}

// biome-ignore lint/suspicious/noExplicitAny: what protobufjs decodes has the shape of the published schema
function toJson(type: Message, value: any): unknown {
  const members: Record<string, unknown> = {}
  for (const field of type.fields) {
    const key = field.name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
    if (!Object.hasOwn(value, key)) continue
    const one = (each: unknown) => (field.message ? toJson(field.message, each) : scalarJson(field, each))
    members[key] = field.repeated ? value[key].map(one) : one(value[key])
  }
  return members
}

function scalarJson({ scalar }: Field, value: unknown): unknown {
  if (scalar === 'id') return Buffer.from(value as Uint8Array).toString('hex')
  if (scalar === 'bytes') return Buffer.from(value as Uint8Array).toString('base64')
  if (scalar === 'double') return Number.isFinite(value) ? value : String(value)
  return typeof value === 'object' ? String(value) : value
}

/** The product's names for the messages that are called differently in the .proto files. */
function renamed(name: string): string {
  const names: Readonly<Record<string, string>> = {
    ExportTraceServiceRequest: 'TracesRequest',
    ExportMetricsServiceRequest: 'MetricsRequest',
    ExportLogsServiceRequest: 'LogsRequest',
    InstrumentationScope: 'Scope',
  }
  return names[name] ?? name
}
