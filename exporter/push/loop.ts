// Whether a push would come back to this sidecar: what it takes in would be on the next page, and would be pushed again.

import { hostname, networkInterfaces } from 'node:os'
import type { Listen } from '../../options/kinds.ts'

/** Why an endpoint cannot be one of our own listeners; undefined if it is none. */
export function loopFault(
  endpoint: string | undefined,
  listeners: readonly (Listen | undefined)[],
): string | undefined {
  const url = endpoint === undefined ? null : URL.parse(endpoint)
  if (!url || !isOurs(url.hostname.replace(/^\[|\]$/g, ''))) return undefined
  const port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80)
  if (!listeners.some(each => each?.port === port)) return undefined
  return `must not be the sidecar itself, which would push what it has pushed; port ${port} is one of its own`
}

function isOurs(host: string): boolean {
  if (/^(?:localhost|127\.\d+\.\d+\.\d+|::1?|0\.0\.0\.0|)$/.test(host) || host === hostname().toLowerCase()) return true
  return Object.values(networkInterfaces()).some(all => all?.some(({ address }) => address === host))
}
