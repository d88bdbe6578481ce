// The PILLION_… variables as a layer of values.

import type { Environment } from './expand.ts'
import { Layer, parseText } from './layer.ts'
import { type Names, variableOf } from './names.ts'
import { nearest, suggestion } from './nearest.ts'
import type { Problems } from './problems.ts'

/** Names the configuration file, as --config does; it is not an option, since a file cannot name itself. */
export const CONFIG_VARIABLE = 'PILLION_CONFIG'

/** An empty variable counts as unset, as in OpenTelemetry, since Compose and Kubernetes cannot leave one out. */
export function readEnvironment(environment: Environment, names: Names, problems: Problems): Layer {
  const layer = new Layer()
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith('PILLION_') || name === CONFIG_VARIABLE) continue
    const found = names.variable(name)
    if (!found) {
      if (!fromKubernetes(name, value)) problems.add('environment', `${name}: unknown variable${meant(name, names)}`)
      continue
    }
    if (!value) continue
    const parsed = parseText(found.leaf, value)
    if (parsed.ok) layer.set(found.path, parsed.value, `env ${name}`, name)
    else problems.add('environment', `${name}: ${parsed.message}`)
  }
  return layer
}

function meant(name: string, names: Names): string {
  const known = names.paths().map(variableOf)
  return suggestion(nearest(name, [...known, CONFIG_VARIABLE])) || '; see pillion help for those there are'
}

// For each Service of a namespace Kubernetes sets such variables in every pod, so a Service named "pillion" or
// "pillion-web" must not stop us: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
function fromKubernetes(name: string, value: string | undefined): boolean {
  if (/_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PORT|PROTO|ADDR))?)$/.test(name))
    return true
  return name.endsWith('_PORT') && /^(?:tcp|udp|sctp):\/\//.test(value ?? '')
}
