// The cart, in memory: one for everybody, since all customers are the same load generator.

import { Refusal, serve, sleep } from './service.js'

const CAPACITY = 50
let items = 0

serve('cart', 8081, {
  'GET /items': async () => {
    await sleep(5)
    return { items }
  },

  'POST /items': (_, item) => {
    if (typeof item?.product !== 'string') throw new Refusal(400, 'an item needs a product')
    if (items >= CAPACITY) throw new Refusal(409, `the cart is full with ${CAPACITY} items`)
    items += 1
    return { items }
  },

  'DELETE /items': () => {
    items = 0
    return { items }
  },
})
