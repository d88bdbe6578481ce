// The rules of the house, as a function over its source files: what runs the wrong way, passes an entry file by, or goes
// round in a circle. docs/architecture.md says why.

import { dirname, join, normalize } from 'node:path'

/**
 * Floors from top to bottom: a file may import from its own room and from the floors below it, never from another room of
 * its floor. The three stages share one: they meet in telemetry/, and the assembly joins them.
 */
const FLOORS = [
  ['assembly'],
  ['collectors', 'processors', 'exporter'],
  ['store'],
  ['traceql'],
  ['otlp', 'client', 'queue'],
  ['telemetry'],
  ['metrics'],
  ['options'],
  ['own', 'protobuf'],
]

const STAGES = FLOORS[1]!

/** Folders that belong to the assembly, besides the files at the root. */
const ASSEMBLY = ['dashboards', 'host', 'sidecar', 'supervise', 'verbs']

/** Folders that are no part of the program: they may import anything of it, and it imports none of them. */
const OUTSIDE = ['bench', 'deploy', 'examples', 'scripts', 'test']

/** Each fault in a sentence; none if the rules hold. The files are sources by their paths from the root. */
export function faults(files: ReadonlyMap<string, string>): string[] {
  const graph = new Map([...files].map(([file, source]) => [file, imports(file, source)]))
  const edges = [...graph].flatMap(([from, targets]) => targets.map(to => fault(from, to)))
  const round = circle(new Map([...graph].filter(([file]) => !file.startsWith('test/'))))
  return [
    ...edges.filter(each => each !== undefined),
    ...[...files].flatMap(([file, source]) => [...homeless(file), ...hidden(file, source), ...contracts(file, source)]),
    ...(round ? [`circle: ${round.join(' → ')}`] : []),
  ]
}

/** The files that a file imports by relative paths: types, dynamic imports and what it passes on too. */
export function imports(file: string, source: string): string[] {
  const found = source.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*)['"](\.[^'"]+)['"]/g)
  return [...new Set([...found].map(([, path]) => normalize(join(dirname(file), path!))))]
}

function fault(from: string, to: string): string | undefined {
  const wrong = (why: string): string => `${from} → ${to}: ${why}`
  if (to.startsWith('test/') && !/^(?:test|bench)\//.test(from)) return wrong('only benches import the tests')
  if (to.startsWith('bench/') && !/^(?:test\/)?bench\//.test(from)) return wrong('only tests of the bench import it')
  const [above, below] = [room(from), room(to)]
  if (above && OUTSIDE.includes(folder(to))) return wrong(`${above} is the program, and ${folder(to)} is not`)
  if (above && below && above !== below) {
    if (STAGES.includes(above) && STAGES.includes(below)) return wrong('stages do not import each other')
    if (floor(below) <= floor(above)) return wrong(`${above} must not import ${below}`)
  }
  if (above && to.startsWith('sidecar/') && from.includes('/') && !from.startsWith('sidecar/'))
    return wrong('only the files at the root import sidecar/')
  // collectors/process/procfs.ts belongs to the part collectors/process.ts: others import the entry file.
  const part = /^((?:collectors|processors|exporter)\/[^/]+)\//.exec(to)?.[1]
  // Tests and benches look inside.
  const inside = /^(?:test|bench)\//.test(from) || from === `${part}.ts` || from.startsWith(`${part}/`)
  return part && !inside ? wrong(`the part ${part} is used by its entry file ${part}.ts`) : undefined
}

/** A folder that is on no floor would be free to import anything. */
function homeless(file: string): string[] {
  const known = room(file) !== undefined || OUTSIDE.includes(folder(file))
  return known ? [] : [`${file}: ${folder(file)}/ is on no floor; give it one in test/house/rules.ts`]
}

/** An import whose path is computed could not be followed. */
function hidden(file: string, source: string): string[] {
  if (room(file) === undefined) return []
  const computed = source.matchAll(/^(?!\s*(?:\/\/|\*)).*\b(?:import|require)\((?!\s*['"])/gm)
  return [...computed].map(() => `${file}: the path of a dynamic import must be a string that stands there`)
}

/** A contract is what others implement or are handed; it lives in telemetry/, since an entry file pulls in its whole part. */
function contracts(file: string, source: string): string[] {
  if (!/^(?:collectors|processors|exporter)\/[^/]+\.ts$/.test(file)) return []
  const reexported = source.matchAll(
    /^export\s+(?:type\s+)?(?:\*(?:\s+as\s+\w+)?|\{[^}]*\})\s+from\s+'(\.[^']*telemetry\/[^']+)'/gm,
  )
  const declared = source.matchAll(
    /^export (?:abstract class|interface|type) (\w*(?:Consumer|Contract|Request|View)s?)\b/gm,
  )
  return [
    ...[...reexported].map(
      ([, path]) => `${file}: ${path} is imported from telemetry/, not passed on by an entry file`,
    ),
    ...[...declared].map(([, name]) => `${file}: the contract ${name} belongs into telemetry/`),
  ]
}

/** The first circle in a graph, as the files along it. */
export function circle(graph: ReadonlyMap<string, readonly string[]>): readonly string[] | undefined {
  const done = new Set<string>()
  const walk = (file: string, path: readonly string[]): readonly string[] | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file]
    if (done.has(file)) return undefined
    done.add(file)
    for (const next of graph.get(file) ?? []) {
      const found = walk(next, [...path, file])
      if (found) return found
    }
    return undefined
  }
  for (const file of graph.keys()) {
    const found = walk(file, [])
    if (found) return found
  }
  return undefined
}

/** The room that a file stands in; undefined for what is no part of the program. */
function room(file: string): string | undefined {
  if (!file.includes('/') || ASSEMBLY.some(name => file.startsWith(`${name}/`))) return 'assembly'
  return FLOORS.flat().find(name => file.startsWith(`${name}/`))
}

/** The top-level folder of a file; '' for a file at the root. */
function folder(file: string): string {
  return file.includes('/') ? file.slice(0, file.indexOf('/')) : ''
}

function floor(name: string): number {
  return FLOORS.findIndex(each => each.includes(name))
}
