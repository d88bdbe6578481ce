// Payments: they take a while, and every tenth is declined, so that there is something to see.

import { Refusal, serve, sleep } from './service.js'

let charges = 0

serve('payment', 8082, {
  'POST /charge': async (_, charge) => {
    if (typeof charge?.amount !== 'number') throw new Refusal(400, 'a charge needs an amount')
    charges += 1
    const receipt = charges
    await sleep(20 + 10 * (receipt % 4))
    if (receipt % 10 === 0) throw new Refusal(503, `the bank declined charge ${receipt}`)
    return { receipt, amount: charge.amount }
  },
})
