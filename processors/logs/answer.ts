// Shared by the readers of logs over HTTP: the parameters of a request, and the two kinds of answer.

import type { ServerResponse } from 'node:http'

/** The parameters of a path with a query. */
export function parameters(target: string): URLSearchParams {
  const mark = target.indexOf('?')
  return new URLSearchParams(mark < 0 ? '' : target.slice(mark + 1))
}

export function answer(response: ServerResponse, value: object): void {
  const text = JSON.stringify(value)
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) }).end(text)
}

export function refuse(response: ServerResponse, why: string): void {
  const text = `${why}\n`
  response
    .writeHead(400, { 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': Buffer.byteLength(text) })
    .end(text)
}
