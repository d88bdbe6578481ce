// A trace of a shop for tests and pictures: a request that is slow and fails, with what makes a trace hard to read.

import type { Call, LogLine, Room } from './room.ts'

export const TRACE = '5b8efff798038103d269b633813fc60c'

export const CHECKOUT: readonly Call[] = (
  [
    {
      service: 'shop',
      name: 'POST /checkout',
      span: 'a1',
      ms: 820,
      error: 'payment failed',
      attributes: {
        'http.request.method': 'POST',
        'http.route': '/checkout',
        'http.response.status_code': 500,
        'user.id': 4711,
      },
    },
    { service: 'shop', name: 'load cart', span: 'a2', parent: 'a1', at: 4, ms: 62 },
    { service: 'cart', name: 'GET /cart/:id', span: 'a3', parent: 'a2', at: 9, ms: 51, kind: 2 },
    { service: 'redis', name: 'HGETALL', span: 'a4', parent: 'a3', at: 14, ms: 8, kind: 3 },
    { service: 'redis', name: 'HGETALL', span: 'a5', parent: 'a3', at: 26, ms: 9, kind: 3 },
    { service: 'cart', name: 'price items', span: 'a6', parent: 'a3', at: 38, ms: 19 },
    { service: 'shop', name: 'reserve stock', span: 'a7', parent: 'a1', at: 70, ms: 120 },
    { service: 'inventory', name: 'PUT /reservations', span: 'a8', parent: 'a7', at: 76, ms: 106, kind: 2 },
    {
      service: 'postgres',
      name: 'UPDATE stock',
      span: 'a9',
      parent: 'a8',
      at: 80,
      ms: 88,
      kind: 3,
      attributes: {
        'db.system': 'postgresql',
        'db.query.text': 'UPDATE stock SET reserved = reserved + $1 WHERE sku = ANY($2)',
      },
    },
    {
      service: 'shop',
      name: 'charge card',
      span: 'b1',
      parent: 'a1',
      at: 198,
      ms: 590,
      kind: 3,
      error: 'card declined',
    },
    {
      service: 'payment',
      name: 'POST /charges',
      span: 'b2',
      parent: 'b1',
      at: 206,
      ms: 571,
      kind: 2,
      error: 'card declined',
    },
    { service: 'payment', name: 'check fraud', span: 'b3', parent: 'b2', at: 214, ms: 120 },
    { service: 'payment', name: 'risk model', span: 'b4', parent: 'b3', at: 220, ms: 96 },
    {
      service: 'payment',
      name: 'authorize',
      span: 'b5',
      parent: 'b2',
      at: 480,
      ms: 280,
      kind: 3,
      error: 'card declined: insufficient funds',
      attributes: { 'peer.service': 'bank', 'retry.count': 2, amount: 129.9, currency: 'EUR' },
      events: [
        { at: 120, name: 'retry', attributes: [{ key: 'attempt', value: { intValue: '1' } }] },
        {
          at: 275,
          name: 'exception',
          attributes: [
            { key: 'exception.type', value: { stringValue: 'CardDeclinedError' } },
            { key: 'exception.message', value: { stringValue: 'insufficient funds' } },
            {
              key: 'exception.stacktrace',
              value: {
                stringValue:
                  'CardDeclinedError: insufficient funds\n    at authorize (/srv/payment/bank.js:88:11)\n    at async charge (/srv/payment/charge.js:41:5)\n    at async handle (/srv/payment/server.js:17:3)',
              },
            },
          ],
        },
      ],
    },
    { service: 'mail', name: 'queue receipt', span: 'c1', parent: 'cc', at: 790, ms: 14 },
    { service: 'mail', name: 'render', span: 'c2', parent: 'c1', at: 788, ms: 9 },
  ] satisfies Call[]
).map(call => ({ trace: TRACE, ...call }))

export const LINES: readonly LogLine[] = [
  { service: 'shop', body: 'checkout of cart 83 by user 4711', at: 3, trace: TRACE, span: 'a1' },
  { service: 'payment', body: 'risk 0.12, below 0.6', at: 318, trace: TRACE, span: 'b4' },
  {
    service: 'payment',
    body: 'bank did not answer in 120 ms, trying again',
    severity: 13,
    at: 600,
    trace: TRACE,
    span: 'b5',
  },
  {
    service: 'payment',
    body: 'card declined: insufficient funds\n  customer 4711\n  amount 129.90 EUR',
    severity: 17,
    at: 755,
    trace: TRACE,
    span: 'b5',
  },
  { service: 'shop', body: 'checkout failed, answering 500', severity: 17, at: 812, trace: TRACE, span: 'a1' },
]

/** Other requests around it, the same each time. */
export function crowd(requests: number): Call[] {
  let state = 7
  const random = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0
    return (state >>> 0) / 2 ** 32
  }
  const routes = ['GET /', 'GET /products/:id', 'POST /cart/items', 'GET /cart', 'POST /checkout']
  return Array.from({ length: requests }, (_, i) => {
    const trace = (0x1000 + i).toString(16)
    const at = -55_000 + (i * 54_000) / requests
    const ms = 4 * Math.exp(random() * 4.5)
    const name = routes[Math.floor(random() * routes.length)]!
    const failed = random() < 0.06
    const calls: Call[] = [
      { trace, service: 'shop', name, span: '1', at, ms, ...(failed && { error: 'failed' }) },
      {
        trace,
        service: 'shop',
        name: 'call cart',
        span: '2',
        parent: '1',
        at: at + ms * 0.1,
        ms: ms * 0.5,
        kind: 3,
        attributes: { 'peer.service': 'cart' },
      },
      {
        trace,
        service: 'cart',
        name: 'GET /cart/:id',
        span: '3',
        parent: '2',
        at: at + ms * 0.15,
        ms: ms * 0.4,
        kind: 2,
      },
      {
        trace,
        service: 'cart',
        name: 'HGETALL',
        span: '4',
        parent: '3',
        at: at + ms * 0.2,
        ms: ms * 0.1,
        kind: 3,
        attributes: { 'db.system': 'redis' },
      },
    ]
    if (name === 'POST /checkout')
      calls.push(
        {
          trace,
          service: 'shop',
          name: 'charge',
          span: '5',
          parent: '1',
          at: at + ms * 0.62,
          ms: ms * 0.3,
          kind: 3,
          attributes: { 'peer.service': 'payment' },
          ...(failed && { error: 'declined' }),
        },
        {
          trace,
          service: 'payment',
          name: 'POST /charges',
          span: '6',
          parent: '5',
          at: at + ms * 0.65,
          ms: ms * 0.2,
          kind: 2,
          ...(failed && { error: 'declined' }),
        },
        {
          trace,
          service: 'payment',
          name: 'authorize',
          span: '7',
          parent: '6',
          at: at + ms * 0.7,
          ms: ms * 0.1,
          kind: 3,
          attributes: { 'peer.service': 'bank' },
        },
      )
    return calls
  }).flat()
}

export function fill({ send, log }: Room): void {
  for (const calls of [crowd(90), CHECKOUT]) send(...calls)
  log(...LINES)
}
