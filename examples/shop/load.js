// Customers: an open loop of 20 requests a second (RATE), whatever the shop answers. Ctrl-C ends it.
//   node load.js [http://127.0.0.1:8080]

import { Agent, request } from 'node:http'

const SHOP = process.argv[2] ?? 'http://127.0.0.1:8080'
const RATE = Number(process.env.RATE ?? 20)
// Beyond this many unanswered requests, further ones are not sent: a dead shop must not fill this process.
const IN_FLIGHT = 200

// One round of 20 requests: two of them check out, and one asks for the slow report.
const ROUND = [
  ...repeat(8, () => ['GET', '/']),
  ...repeat(5, n => ['GET', `/search?q=${'abcde'[n]}`]),
  ...repeat(4, n => ['POST', '/cart', { product: `product ${n}` }]),
  ...repeat(2, () => ['POST', '/checkout']),
  ['GET', '/report'],
]

const agent = new Agent({ keepAlive: true })
const answers = {}
let [sent, inFlight] = [0, 0]

const sending = setInterval(() => {
  // 7 and 20 share no factor, so this walks through the whole round without sending the like in a row.
  const [method, path, body] = ROUND[(sent * 7) % ROUND.length]
  if (inFlight >= IN_FLIGHT) return count('not sent')
  sent += 1
  inFlight += 1
  const outgoing = request(SHOP + path, { method, agent, timeout: 10_000 })
  outgoing.on('timeout', () => outgoing.destroy())
  outgoing.on('response', incoming => {
    count(incoming.statusCode)
    incoming.resume()
  })
  outgoing.on('error', error => count(error.code ?? 'failed'))
  outgoing.on('close', () => {
    inFlight -= 1
  })
  outgoing.end(body && JSON.stringify(body))
}, 1000 / RATE)

const telling = setInterval(tell, 10_000)
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, stop)

function stop() {
  clearInterval(sending)
  clearInterval(telling)
  agent.destroy()
  tell()
}

function tell() {
  const parts = Object.entries(answers).map(([answer, times]) => `${times} × ${answer}`)
  console.log(`load: ${sent} requests, ${parts.join(', ') || 'no answer yet'}`)
}

function count(answer) {
  answers[answer] = (answers[answer] ?? 0) + 1
}

function repeat(times, make) {
  return Array.from({ length: times }, (_, n) => make(n))
}
