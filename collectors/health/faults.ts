// Faults in the options of health that no option can tell by itself. `pillion check`, the start and a reload find the same
// ones, all at once.

import { isIP } from 'node:net'
import { type Fault, shown } from '../../options/kinds.ts'
import { blocked } from './address.ts'
import { header, hostPort, unbracketed } from './notation.ts'
import type { HealthOptions, ProbeOptions } from './options.ts'

/** The faults of the section `health`. */
export function healthFaults({ probes }: Pick<HealthOptions, 'probes'>): readonly Fault[] {
  const found: Fault[] = []
  const names = new Set<string>()
  for (const [place, probe] of probes.entries()) {
    const add = (option: string, message: string | undefined): void => {
      if (message !== undefined) found.push({ path: `probes[${place}].${option}`, message })
    }
    const { name = '' } = probe
    if (probe.name === undefined) add('name', 'is missing; give each probe its own name')
    else if (!/^[\w.:/-]{1,64}$/.test(name))
      add('name', `must be 1 to 64 of letters, digits and _ . : / -, not ${shown(name)}`)
    else if (names.has(name)) add('name', `${shown(name)} is already taken; give each probe its own name`)
    names.add(name)
    targetFaults(probe, add)
  }
  return found
}

/** The fault of `app.url`, if health is going to be guessed from it. */
export function guessFault({ probes, guess }: HealthOptions, appUrl: string | undefined): string | undefined {
  return probes.length === 0 && guess && appUrl !== undefined ? urlFault(appUrl) : undefined
}

function targetFaults(probe: ProbeOptions, add: (option: string, message: string | undefined) => void): void {
  switch (probe.kind) {
    case 'http':
      if (probe.url === undefined) add('url', 'is missing; give the URL to request, or another kind')
      else add('url', urlFault(probe.url))
      for (const [place, line] of probe.headers.entries()) add(`headers[${place}]`, headerFault(line))
      for (const [place, line] of probe.header_matches.entries())
        if (!header(line)) add(`header_matches[${place}]`, 'must be "Name: regular expression"')
      break
    case 'tcp':
    case 'grpc':
      add('address', addressFault(probe.address))
      break
    case 'exec':
      if (!probe.command[0]) add('command', 'is missing; give the program and its arguments as a list')
      break
    case 'passive':
  }
}

/** Why a URL cannot be asked. */
export function urlFault(href: string): string | undefined {
  const url = new URL(href)
  if (url.username || url.password)
    return 'must not contain a user name or password; send an Authorization header with `headers`'
  return hostFault(unbracketed(url.hostname))
}

function addressFault(address: string | undefined): string | undefined {
  if (address === undefined) return 'is missing; give HOST:PORT'
  const parts = hostPort(address)
  return parts ? hostFault(parts.host) : `must be HOST:PORT, not ${shown(address)}`
}

function hostFault(host: string): string | undefined {
  if (isIP(host) === 0 || !blocked(host)) return undefined
  return `must not be a link-local or metadata address: ${host}; probe the application itself`
}

/** Why a header cannot be sent. */
export function headerFault(line: string): string | undefined {
  const parts = header(line)
  if (!parts) return 'must be "Name: value"'
  const { validateHeaderName, validateHeaderValue } = process.getBuiltinModule('node:http')
  try {
    validateHeaderName(parts.name)
    validateHeaderValue(parts.name, parts.value)
    return undefined
  } catch {
    // Without the value, which may be a secret.
    return `is not a header that HTTP allows: ${shown(parts.name)}`
  }
}
