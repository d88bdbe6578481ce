// Which Pillion this is, and which Node it needs. Imported before anything else, so it uses nothing that an old Node lacks.

import { ownText } from './own/files.ts'

/** CVE-2026-56848, a use after free in HTTP/2, is mended from here on. The same as in package.json's `engines`. */
const OLDEST = [24, 18, 1] as const

/** Why this Node will not do, or undefined if it will. */
export function unfit(node: string): string | undefined {
  const [major = 0, minor = 0, patch = 0] = node.split('.').map(part => Number.parseInt(part, 10))
  const difference = major - OLDEST[0] || minor - OLDEST[1] || patch - OLDEST[2]
  if (difference >= 0) return undefined
  return `cannot run on Node ${node}: ${OLDEST.join('.')} is the oldest that is safe; install it, or put \`npx --package node@24 --\` in front`
}

/** The version in package.json. */
export function ownVersion(): string {
  const manifest = ownText('package.json')
  return manifest === undefined ? 'unknown' : String(JSON.parse(manifest).version)
}
