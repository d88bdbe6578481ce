// Scrapes in a process of its own, one scrape after another, and discards the answers.

import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { errand, say, task } from './errand.ts'

export interface Scraping {
  readonly port: number
  readonly accept: string
  readonly gzip: boolean
  readonly seconds: number
  /** Between scrapes. */
  readonly pauseMs?: number
}

export interface Scraped {
  readonly scrapes: number
  readonly bytes: number
}

export async function scrapeFor(scraping: Scraping): Promise<Scraped> {
  // The result that is printed below.
  return (await errand(import.meta.filename, scraping)) as Scraped
}

if (import.meta.main) {
  const { port, accept, gzip, seconds, pauseMs }: Scraping = JSON.parse(task())
  const { request, Agent } = process.getBuiltinModule('node:http')
  const agent = new Agent({ keepAlive: true })
  const headers = { accept, ...(gzip ? { 'accept-encoding': 'gzip' } : {}) }
  const end = performance.now() + seconds * 1000
  let scrapes = 0
  let bytes = 0
  do {
    const asked = request({ host: '127.0.0.1', port, path: '/metrics', headers, agent }).end()
    const [response]: IncomingMessage[] = (await once(asked, 'response')) as [IncomingMessage]
    if (response!.statusCode !== 200) throw new Error(`the scrape was answered with ${response!.statusCode}`)
    response!.on('data', (chunk: Buffer) => {
      bytes += chunk.length
    })
    await once(response!, 'end')
    scrapes++
    if (pauseMs) await sleep(pauseMs)
  } while (performance.now() < end)
  say({ scrapes, bytes: bytes / scrapes })
}
