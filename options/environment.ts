// The PILLION_… variables as a layer of values.

import type { Environment } from './expand.ts'
import { Layer, parseText } from './layer.ts'
import { type Names, variableOf } from './names.ts'
import { nearest, suggestion } from './nearest.ts'
import type { Problems } from './problems.ts'

/** Names the configuration file, as --config does; it is not an option, since a file cannot name itself. */
export const CONFIG_VARIABLE = 'PILLION_CONFIG'

/** An empty variable counts as unset, as in OpenTelemetry: Compose and Kubernetes cannot omit a variable. */
export function readEnvironment(environment: Environment, names: Names, problems: Problems): Layer {
  const layer = new Layer('environment')
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
    else problems.add('environment', `${name}: ${parsed.message}`, found.path)
  }
  return layer
}

/** Whether a variable is a setting of ours, or set by our launcher; not what Kubernetes sets for a Service of our name. */
export function isOwn(name: string, value: string | undefined): boolean {
  return name.startsWith('_PILLION_') || (name.startsWith('PILLION_') && !fromKubernetes(name, value))
}

function meant(name: string, names: Names): string {
  const known = names.paths().map(variableOf)
  return suggestion(nearest(name, [...known, CONFIG_VARIABLE])) || '; see pillion help'
}

// Kubernetes sets such variables in every pod for each Service of the namespace, so a Service named "pillion" or
// "pillion-web" must not be an error: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
function fromKubernetes(name: string, value: string | undefined): boolean {
  if (/_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PORT|PROTO|ADDR))?)$/.test(name))
    return true
  return name.endsWith('_PORT') && /^(?:tcp|udp|sctp):\/\//.test(value ?? '')
}
