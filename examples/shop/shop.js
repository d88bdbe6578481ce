// The front of the shop: what customers ask for. Some of it is slow, some of it burns CPU, some of it fails.

import { scryptSync } from 'node:crypto'
import { call, log, Refusal, serve, sleep } from './service.js'

const CART = process.env.CART_URL ?? 'http://127.0.0.1:8081'
const PAYMENT = process.env.PAYMENT_URL ?? 'http://127.0.0.1:8082'
const PRODUCTS = ['anorak', 'blanket', 'compass', 'dynamo', 'enamel mug', 'flask', 'goggles', 'hammock']

// The outcome of the last call to each neighbour: a health check that calls nobody cannot bring anybody down.
const neighbours = { cart: 'pass', payment: 'pass' }

const routes = {
  'GET /': () => ({ products: PRODUCTS.length }),

  'GET /search': url => {
    const wanted = url.searchParams.get('q') ?? ''
    // Ranking, as far as the CPU is concerned: about 10 ms of it.
    scryptSync(wanted, 'ranking', 32, { N: 4096 })
    return { found: PRODUCTS.filter(name => name.includes(wanted)) }
  },

  'POST /cart': (_, item) => ask('cart', 'POST', `${CART}/items`, item),

  'POST /checkout': async () => {
    const { items } = await ask('cart', 'GET', `${CART}/items`)
    const receipt = await ask('payment', 'POST', `${PAYMENT}/charge`, { amount: 5 + items })
    await ask('cart', 'DELETE', `${CART}/items`)
    log('INFO', `sold ${items} items with receipt ${receipt.receipt}`)
    return receipt
  },

  'GET /report': async () => {
    await sleep(400)
    return { sold: 'plenty' }
  },
}

serve('shop', 8080, routes, () => ({
  'cart:reached': [{ componentType: 'component', status: neighbours.cart }],
  'payment:reached': [{ componentType: 'component', status: neighbours.payment }],
}))

async function ask(neighbour, method, url, value) {
  try {
    const answer = await call(method, url, value)
    neighbours[neighbour] = 'pass'
    return answer
  } catch (error) {
    // A refusal is an answer too; only silence makes a neighbour suspect.
    neighbours[neighbour] = error instanceof Refusal ? 'pass' : 'warn'
    throw error instanceof Refusal ? error : new Refusal(502, `cannot reach ${neighbour}: ${error.message}`)
  }
}
