// The routes: /metrics and /-/…, which machines ask for and which need nothing but Node, and those of the parts. All other
// paths are pages for people (pages.ts), by express, which is loaded with the first of them.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Route } from '../../telemetry/route.ts'
import { say } from './answer.ts'
import type { WebHost } from './host.ts'
import type { Scrapes } from './scrape.ts'

export type Pages = (request: IncomingMessage, response: ServerResponse) => void

export class Routes {
  readonly #host: WebHost
  readonly #own: readonly Route[]
  #reloading = false

  constructor(host: WebHost, scrapes: Scrapes) {
    this.#host = host
    this.#own = [
      {
        path: '/metrics',
        methods: ['GET'],
        access: 'scraper',
        handle: (request, response) => scrapes.answer(request, response),
      },
      {
        path: '/-/healthy',
        methods: ['GET'],
        access: 'anyone',
        handle: (_, response) => say(response, 200, 'healthy'),
      },
      { path: '/-/ready', methods: ['GET'], access: 'anyone', handle: (_, response) => this.#ready(response) },
      { path: '/-/reload', methods: ['POST'], access: 'operator', handle: (_, response) => this.#reload(response) },
    ]
  }

  /** The route of a path; undefined is a page. The longest of several prefixes wins. */
  find(path: string): Route | undefined {
    const all = [...this.#own, ...(this.#host.routes?.() ?? [])]
    const exact = all.find(route => route.path === path)
    if (exact) return exact
    const prefixes = all.filter(route => route.path.endsWith('/') && path.startsWith(route.path))
    const [longest] = prefixes.sort((a, b) => b.path.length - a.path.length)
    return longest ?? (path.startsWith('/-/') ? this.#unknown(all) : undefined)
  }

  #unknown(all: readonly Route[]): Route {
    const known = all
      .filter(({ path }) => path.startsWith('/-/'))
      .map(({ path, methods }) => (methods.includes('GET') ? path : `${methods.join(' or ')} ${path}`))
    const text = `there are ${known.slice(0, -1).join(', ')} and ${known.at(-1)}`
    return { path: '/-/', methods: ['GET'], access: 'scraper', handle: (_, response) => say(response, 404, text) }
  }

  #ready(response: ServerResponse): void {
    const why = this.#host.unready()
    if (why === undefined) say(response, 200, 'ready')
    else say(response, 503, `not ready: ${why}`)
  }

  async #reload(response: ServerResponse): Promise<void> {
    if (!this.#host.reload)
      return say(response, 501, 'this sidecar cannot reload its configuration; restart it instead')
    if (this.#reloading) return say(response, 409, 'a reload is under way; ask again later', { 'Retry-After': '1' })
    this.#reloading = true
    try {
      await this.#host.reload()
      say(response, 200, 'reloaded')
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      say(response, 500, `cannot reload, the configuration stays as it was: ${why}`)
    } finally {
      this.#reloading = false
    }
  }
}
