// Service level objectives as they are given on the command line:
//
//   objective = [service ":"] ("availability=" percent | "latency=" number ("ms" | "s") ":" percent)

/** The promise, and the services that it is made for. */
export interface Objective {
  readonly slo: 'availability' | 'latency'
  /** Per cent of the requests that must not fail, or must be answered in time. */
  readonly percent: number
  /** Seconds in which they must be answered; undefined for availability. */
  readonly seconds: number | undefined
  /** The promise, in the spelling of the command line without the service: a label of its rules. */
  readonly promise: string
  /** The services that it is for, or those that it is not for, since they have promises of their own. */
  readonly services: { readonly only: readonly string[] } | { readonly except: readonly string[] }
}

interface Given extends Omit<Objective, 'services'> {
  readonly service: string | undefined
}

const EXAMPLES = 'availability=99.9, latency=300ms:99 (99 % within 300 ms), or shop:latency=1s:95 for one service'
const WRITTEN = /^(?:(.+):)?(?:availability=(\d+(?:\.\d+)?)|latency=(\d+(?:\.\d+)?)(ms|s):(\d+(?:\.\d+)?))$/s

/**
 * Reads what follows --slo, each text one objective. A service with objectives of its own is left out of those of the
 * same kind that name no service. Throws for one that cannot be read, or that no application could miss or meet.
 */
export function parseObjectives(texts: readonly string[]): Objective[] {
  const given = texts.map(parsed)
  const distinct = new Map(given.map(each => [`${each.slo}=${each.promise}`, each]))
  return [...distinct.values()].flatMap(({ service: _, ...promise }) => {
    const alike = given.filter(({ slo }) => slo === promise.slo)
    const takers = alike.filter(each => each.promise === promise.promise)
    const named = (of: readonly Given[]) => new Set(of.flatMap(({ service }) => service ?? []))
    if (takers.every(({ service }) => service !== undefined))
      return { ...promise, services: { only: [...named(takers)] } }
    return { ...promise, services: { except: [...named(alike).difference(named(takers))] } }
  })
}

function parsed(text: string): Given {
  const [written, service, available, time, unit, fast] = WRITTEN.exec(text) ?? []
  if (written === undefined) throw new Error(`cannot read the objective ${JSON.stringify(text)}; say ${EXAMPLES}`)
  if (available !== undefined) {
    const percent = promised('availability', available)
    return { slo: 'availability', percent, seconds: undefined, promise: `${percent}`, service }
  }
  const percent = promised('latency', fast!)
  // Rounded to whole nanoseconds: 300 / 1000 and 0.3 are the same time.
  const seconds = Math.round(Number(time) * (unit === 'ms' ? 1e6 : 1e9)) / 1e9
  const spelled = seconds < 1 ? `${Number((seconds * 1000).toPrecision(12))}ms` : `${seconds}s`
  return { slo: 'latency', percent, seconds, promise: `${spelled}:${percent}`, service }
}

function promised(slo: string, text: string): number {
  const percent = Number(text)
  if (percent > 0 && percent < 100) return percent
  throw new Error(`cannot promise ${percent} % for ${slo}; give a number between 0 and 100, 99.9 for instance`)
}
