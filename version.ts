// Which Pillion this is, and which Node it needs. Imported before anything else, so it uses nothing that an old Node lacks.

import { readFileSync } from 'node:fs'

/** CVE-2026-56848, a use after free in HTTP/2, is mended from here on. The same as in package.json's `engines`. */
const OLDEST = [24, 18, 1] as const

/** Why this Node will not do, or undefined if it will. */
export function unfit(node: string): string | undefined {
  const [major = 0, minor = 0, patch = 0] = node.split('.').map(part => Number.parseInt(part, 10))
  const difference = major - OLDEST[0] || minor - OLDEST[1] || patch - OLDEST[2]
  if (difference >= 0) return undefined
  return `cannot run on Node ${node}: ${OLDEST.join('.')} is the oldest that is safe; install it, or use \`npx node@24\``
}

/** The version in package.json, which stands beside the sources and one level above the built program. */
export function ownVersion(): string {
  for (const place of ['./package.json', '../package.json']) {
    const version = versionIn(new URL(place, import.meta.url))
    if (version) return version
  }
  return 'unknown'
}

function versionIn(file: URL): string | undefined {
  try {
    const { name, version } = JSON.parse(readFileSync(file, 'utf8'))
    return name === 'pillion' ? String(version) : undefined
  } catch {
    return undefined
  }
}
