// Payments: they take a while, and every tenth is declined, so that there is something to see. `PUT /bank` with
// {"open": false} closes the bank: from then on every charge fails.

import { log, Refusal, serve, sleep } from './service.js'

let charges = 0
let open = true

serve('payment', 8082, {
  'POST /charge': async (_, charge) => {
    if (typeof charge?.amount !== 'number') throw new Refusal(400, 'a charge needs an amount')
    charges += 1
    const receipt = charges
    await sleep(20 + 10 * (receipt % 4))
    if (!open) throw new Refusal(500, `the bank is closed, so charge ${receipt} was not made`)
    if (receipt % 10 === 0) throw new Refusal(503, `the bank declined charge ${receipt}`)
    log('INFO', `charged ${charge.amount} for receipt ${receipt}`)
    return { receipt, amount: charge.amount }
  },

  'PUT /bank': (_, bank) => {
    open = bank?.open !== false
    log(open ? 'INFO' : 'WARN', open ? 'the bank is open' : 'the bank has closed')
    return { open }
  },
})
