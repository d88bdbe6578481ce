// The whole page in a real Chromium, in front of a real sidecar in a process of its own.

import { randomBytes } from 'node:crypto'
import { type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import type { Test } from 'tap'
import { type Ride, startSidecar, type Way } from '../e2e/ride.ts'
import { CHROMIUM, watch } from './room.ts'

export interface Live {
  readonly ride: Ride
  open(options?: BrowserContextOptions): Promise<Opened>
  /** Sends spans that end now, over OTLP/HTTP. */
  send(...spans: readonly Sent[]): Promise<void>
}

/** Opens pages of the sidecar at this URL, in a browser of their own. */
export async function opener(t: Test, web: string): Promise<Live['open']> {
  const browser = await chromium.launch({
    executablePath: CHROMIUM!,
    args: ['--no-sandbox', '--disable-dev-shm-usage'],
  })
  t.teardown(() => browser.close())
  return async (options = {}) => {
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options })
    t.teardown(() => context.close())
    const page = await context.newPage()
    page.setDefaultTimeout(60_000)
    const faults = watch(page, web)
    return {
      page,
      faults,
      async go(hash) {
        await page.goto(`${web}/${hash}`)
        await page.waitForSelector('main h1')
      },
      async until(expression) {
        for (const end = Date.now() + 60_000; !(await page.evaluate(expression)); ) {
          if (Date.now() > end) throw new Error(`still not true: ${expression}`)
          await page.waitForTimeout(50)
        }
      },
    }
  }
}

export interface Opened {
  readonly page: Page
  go(hash: string): Promise<void>
  /** Waits until an expression is true in the page, whose policy forbids what waitForFunction does. */
  until(expression: string): Promise<void>
  /** Events that must not happen: errors, violations of the policy, requests elsewhere. */
  faults(): Promise<readonly string[]>
}

export interface Sent {
  readonly service: string
  readonly name: string
  readonly ms?: number
  readonly error?: string
  readonly kind?: number
}

export async function openLive(t: Test, way: Way = {}): Promise<Live> {
  const ride = await startSidecar(way)
  t.teardown(() => ride[Symbol.asyncDispose]())
  return {
    ride,
    open: await opener(t, ride.web),
    async send(...spans) {
      const now = BigInt(Date.now()) * 1_000_000n
      const resourceSpans = spans.map(({ service, name, ms = 5, error, kind = 2 }) => ({
        resource: { attributes: [{ key: 'service.name', value: { stringValue: service } }] },
        scopeSpans: [
          {
            spans: [
              {
                traceId: randomBytes(16).toString('hex'),
                spanId: randomBytes(8).toString('hex'),
                name,
                kind,
                startTimeUnixNano: String(now - BigInt(ms * 1e6)),
                endTimeUnixNano: String(now),
                ...(error !== undefined && { status: { code: 2, message: error } }),
              },
            ],
          },
        ],
      }))
      const answer = await fetch(`${ride.otlp}/v1/traces`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ resourceSpans }),
      })
      if (!answer.ok) throw new Error(`the spans were refused: ${answer.status} ${await answer.text()}`)
    },
  }
}
