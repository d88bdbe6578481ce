import protobuf from 'protobufjs'
import t from 'tap'
import { MESSAGES } from '../../collectors/otlp/schema.ts'
import { disagreement } from './compare.ts'
import { generate, mutate, Random, type Signal } from './generate.ts'
import { root } from './oracle.ts'

const RUNS = 20_000
const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 32)

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
    if (difference?.startsWith('we refuse')) counts.refused++
    if (difference) {
      t.fail(`${difference}\n${signal} ${bytes.toString('hex')}`)
      break
    }
  }
  t.comment(JSON.stringify(counts))
  t.ok(counts.generated > 5000 && counts.mutated > 5000)
})

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
