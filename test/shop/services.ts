// The three services of the example shop as real processes on free ports, traced by their own SDK.

import { fileURLToPath } from 'node:url'
import { Child } from '../e2e/child.ts'

const SHOP = fileURLToPath(new URL('../../examples/shop/', import.meta.url))

export interface Shop extends AsyncDisposable {
  readonly url: string
  readonly cart: Child
  readonly payment: Child
  readonly front: Child
  /** Stops all three as an operator would; their spans have been flushed then. */
  stop(): Promise<void>
}

/** Starts the shop, its front on `port`; its spans go to the OTLP/HTTP endpoint `otlp`. `more` is for all its services. */
export async function startShop(otlp: string, port = 0, more: NodeJS.ProcessEnv = {}): Promise<Shop> {
  await using open = new AsyncDisposableStack()
  const telemetry = { OTEL_EXPORTER_OTLP_ENDPOINT: otlp, OTEL_BSP_SCHEDULE_DELAY: '100', ...more }
  const start = async (name: string, env: NodeJS.ProcessEnv) =>
    open.use(
      await Child.start(process.execPath, ['--import', `${SHOP}telemetry.js`, `${SHOP}${name}.js`], {
        ...telemetry,
        OTEL_SERVICE_NAME: name,
        PORT: '0',
        ...env,
      }),
    )
  const [cart, payment] = await Promise.all([start('cart', {}), start('payment', {})])
  const [cartUrl, paymentUrl] = await Promise.all([address(cart), address(payment)])
  const front = await start('shop', { PORT: String(port), CART_URL: cartUrl, PAYMENT_URL: paymentUrl })
  const url = await address(front)
  const all = open.move()
  return {
    url,
    cart,
    payment,
    front,
    // The front first: it still needs the others to answer its requests.
    stop: async () => {
      for (const child of [front, cart, payment]) await child.stop()
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

async function address(service: Child): Promise<string> {
  const [, url = ''] = await service.says(/listening on (\S+)/)
  return url
}
