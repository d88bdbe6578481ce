import t from 'tap'
import { Circuit } from '../../exporter/forward/circuit.ts'

t.test('waits grow by half, up to 30 s, and the first is anything up to a second', async t => {
  for (const [random, first, factor] of [
    [0, 0, 0.5],
    [0.5, 500, 1],
    [1, 1000, 1.5],
  ] as const) {
    const circuit = new Circuit(() => random)
    let now = 0
    t.equal(circuit.fail(now, undefined), first)
    for (let n = 1; n <= 12; n++) {
      now = circuit.until!
      t.ok(circuit.enter(now))
      t.equal(circuit.fail(now, undefined), Math.min(30_000, 1000 * 1.5 ** n) * factor)
    }
  }
})

t.test('an upstream says how long to wait, and a fleet does not come back as one', async t => {
  t.equal(new Circuit(() => 0).fail(0, 5000), 5000)
  t.equal(new Circuit(() => 1).fail(0, 5000), 6000)
})

t.test('after a failure one request goes first, and the others follow if it succeeds', async t => {
  const circuit = new Circuit(() => 0.5)
  t.ok(circuit.enter(0) && circuit.enter(0))
  circuit.fail(0, undefined)
  t.ok(circuit.open)
  t.notOk(circuit.enter(499))
  t.ok(circuit.enter(500), 'the first')
  t.notOk(circuit.enter(501), 'not another one beside it')
  circuit.succeed()
  t.notOk(circuit.open)
  t.ok(circuit.enter(501) && circuit.enter(501))
})

t.test('requests that fail together count as one failure', async t => {
  const circuit = new Circuit(() => 1)
  circuit.fail(0, undefined)
  for (let i = 0; i < 3; i++) circuit.fail(1, undefined)
  t.equal(circuit.until, 1000)
  circuit.enter(1000)
  circuit.fail(1000, undefined)
  t.equal(circuit.until, 1000 + 1500 * 1.5)
})
