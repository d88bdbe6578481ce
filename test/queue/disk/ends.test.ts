// A few of the ends of `npm run ends` (200 kills and 100 SIGTERMs).

import t from 'tap'
import { complaints, ends, summary } from '../../forward/ends.ts'

for (const sync of ['interval', 'request'] as const)
  t.test(`with sync: ${sync}, nothing acknowledged is lost when the sidecar is killed or ended under load`, async t => {
    const outcome = await ends({ kills: 4, terms: 2, sync })
    t.same(complaints(outcome), [])
    t.ok(outcome.acknowledged > 0)
    t.comment(summary(outcome))
  })
