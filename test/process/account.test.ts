// Totals that outlive processes: nothing is counted twice, and nothing falls.

import t from 'tap'
import { Account, growth, Ledger, Sum } from '../../collectors/process/account.ts'
import fc from '../property.ts'

t.test('a 32-bit counter that begins anew has grown by the rest', async t => {
  const f = (before: number, now: number, expected: number) => t.equal(growth(before, now), expected)
  f(10, 15, 5)
  f(2 ** 32 - 10, 5, 15)
  f(2 ** 31 + 1, 0, 2 ** 31 - 1)
  f(100, 5, 0)
  f(2 ** 40, 5, 0)
})

t.test('an account is absent until something was read', async t => {
  const account = new Account()
  t.same(account.sums[Sum.user], Number.NaN)
  account.add(Sum.user, Number.NaN)
  t.same(account.sums[Sum.user], Number.NaN)
  account.add(Sum.user, 0)
  t.equal(account.sums[Sum.user], 0)
})

t.test('a child that was seen is not counted again when its parent has waited for it', async t => {
  const parent = new Ledger()
  const child = new Ledger()
  let total = parent.own(Sum.user, 10) + parent.reaped(Sum.user, 0)
  total += child.own(Sum.user, 7)
  t.equal(total, 17)
  parent.age()
  parent.inherit(child)
  // It used 2 more before it ended: 9 in all arrive at the parent.
  total += parent.own(Sum.user, 10) + parent.reaped(Sum.user, 9)
  t.equal(total, 19)
})

t.test('the wait may come one look after the child was missed', async t => {
  const parent = new Ledger()
  const child = new Ledger()
  let total = child.own(Sum.user, 7)
  parent.age()
  parent.inherit(child)
  total += parent.reaped(Sum.user, 0)
  parent.age()
  total += parent.reaped(Sum.user, 9)
  t.equal(total, 9)
})

t.test('a child that was never waited for does not swallow what later ones used', async t => {
  const parent = new Ledger()
  const child = new Ledger()
  child.own(Sum.user, 7)
  parent.age()
  parent.inherit(child)
  parent.reaped(Sum.user, 0)
  parent.age()
  parent.reaped(Sum.user, 0)
  parent.age()
  t.equal(parent.reaped(Sum.user, 5), 5)
})

// A model of what the kernel does: processes use time, fork, end, and are waited for; looks come in between.
t.test('whatever the order, the total is exactly what was used, and never falls', async t => {
  interface Proc {
    user: number
    reaped: number
    readonly parent: Proc | undefined
    ended: boolean
    readonly ledger: Ledger
    seen: boolean
  }
  const step = fc.oneof(
    fc.record({ kind: fc.constant('use'), who: fc.nat(), ticks: fc.nat(20) }),
    fc.record({ kind: fc.constant('fork'), who: fc.nat(), ticks: fc.constant(0) }),
    fc.record({ kind: fc.constant('end'), who: fc.nat(), ticks: fc.constant(0) }),
    fc.record({ kind: fc.constant('look'), who: fc.constant(0), ticks: fc.constant(0) }),
  )
  const born = (parent: Proc | undefined): Proc => ({
    user: 0,
    reaped: 0,
    parent,
    ended: false,
    ledger: new Ledger(),
    seen: false,
  })
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), steps => {
        const root = born(undefined)
        let live = [root]
        let used = 0
        let total = 0
        let seen: Proc[] = []
        const look = () => {
          for (const each of seen) each.ledger.age()
          for (const each of seen.filter(each => each.ended)) {
            let heir = each.parent
            while (heir?.ended) heir = heir.parent
            heir?.ledger.inherit(each.ledger)
          }
          seen = [...live]
          const before = total
          for (const each of seen)
            total += each.ledger.own(Sum.user, each.user) + each.ledger.reaped(Sum.user, each.reaped)
          if (total < before) throw new Error('the total fell')
          if (total !== used) throw new Error(`total ${total}, used ${used}`)
        }
        for (const { kind, who, ticks } of steps) {
          const one = live[who % live.length]!
          if (kind === 'use') {
            one.user += ticks
            used += ticks
          } else if (kind === 'fork') live.push(born(one))
          else if (kind === 'end' && one !== root && !live.some(each => each.parent === one)) {
            // The parent waits for it at once.
            one.ended = true
            one.parent!.reaped += one.user + one.reaped
            live = live.filter(each => each !== one)
          } else if (kind === 'look') look()
        }
        look()
      }),
      { numRuns: 2000 },
    ),
  )
})
