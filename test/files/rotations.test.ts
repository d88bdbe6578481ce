// A few rotations of each kind; `npm run rotations` makes 200.

import t from 'tap'
import { KINDS, rotate } from './rotations.ts'

for (const kind of KINDS)
  t.test(`a file that is rotated under load by ${kind} loses no line, and none comes twice`, async t => {
    const { written, read, distinct } = await rotate(t, kind, kind.startsWith('hasty') ? 60 : 10)
    t.ok(written > 200)
    t.equal(distinct, written)
    t.equal(read, written)
  })
