// The command line: a command, options of the schema, a few switches, and after "--" the application's own command.

import { flagOf, isSwitch, type Names } from './names.ts'
import { nearest, suggestion } from './nearest.ts'
import { type Problem, Problems } from './problems.ts'
import type { Flag } from './read.ts'

/** Every command with its usage and its line of help; '' is the one without a name. */
export const COMMANDS = {
  '': ['[options]', 'ride beside an application that is running already'],
  run: ['[options] -- CMD ARGS…', 'start an application and ride beside it; its exit code is kept'],
  check: ['[options]', 'say all that is wrong with the configuration, and start nothing'],
  'print-config': ['[options]', 'print the options in effect as YAML, and where each comes from; secrets are left out'],
  schema: ['', 'print the JSON Schema of pillion.yaml'],
  metrics: ['[--json]', 'print the catalogue of metrics'],
  dashboards: ['[--out DIR]', 'list the Grafana dashboards, or write them into a folder for import'],
  rules: ['[--slo SLO]…', 'print Prometheus rules, with burn rates for each SLO: availability=99.9, latency=300ms:99'],
  healthcheck: [
    '[--cert FILE --key FILE]',
    'ask the sidecar that runs with these options whether it is ready; 0 is yes, 1 is no',
  ],
  version: ['[--json]', 'print the version'],
  help: ['', 'print this'],
} as const

export type Command = keyof typeof COMMANDS

/** Switches with a value that only one command takes, and what the value is. */
const SWITCHES = {
  out: ['dashboards', 'a folder'],
  slo: ['rules', 'an objective'],
  runbooks: ['rules', 'an address'],
  grafana: ['rules', 'an address'],
  cert: ['healthcheck', 'a file'],
  key: ['healthcheck', 'a file'],
} as const satisfies Readonly<Record<string, readonly [Command, string]>>

export type Switch = keyof typeof SWITCHES

export interface CommandLine {
  readonly command: Command
  readonly json: boolean
  /** --config FILE. */
  readonly config: string | undefined
  readonly flags: readonly Flag[]
  /** Switches that belong to one command: name → values, in the order given. */
  readonly switches: ReadonlyMap<Switch, readonly string[]>
  /** What stands after "--": the application and its arguments. */
  readonly application: readonly string[]
  readonly problems: readonly Problem[]
}

/** Reads the arguments after the program's name. What is wrong with the options' values is found later, by read(). */
export function parseCommandLine(args: readonly string[], names: Names): CommandLine {
  const end = args.indexOf('--')
  const application = end < 0 ? [] : args.slice(end + 1)
  const line = new Line(end < 0 ? args : args.slice(0, end), names)
  line.parse()
  const { json, config, flags, problems, switches } = line
  const command = line.command()
  if (command !== undefined) {
    const wrong = (text: string): void => problems.add('flag', text)
    if (json && command !== 'metrics' && command !== 'version') wrong('--json: only metrics and version can print JSON')
    for (const name of switches.keys())
      if (SWITCHES[name][0] !== command) wrong(`--${name}: belongs to pillion ${SWITCHES[name][0]}`)
    if (command === 'run' && application.length === 0 && !line.surplus)
      wrong('run: needs a command after "--", as in: pillion run -- node server.js')
    if (command !== 'run' && end >= 0)
      wrong(`--: only run takes a command, as in: pillion run -- ${application[0] ?? 'node server.js'}`)
  }
  return { command: command ?? '', json, config, flags, switches, application, problems: problems.list }
}

class Line {
  config: string | undefined
  readonly switches = new Map<Switch, string[]>()
  json = false
  readonly flags: Flag[] = []
  readonly problems = new Problems()
  readonly #args: readonly string[]
  readonly #names: Names
  readonly #words: string[] = []
  #at = 0

  constructor(args: readonly string[], names: Names) {
    this.#args = args
    this.#names = names
  }

  get surplus(): boolean {
    return this.#words.length > 1
  }

  parse(): void {
    while (this.#at < this.#args.length) {
      const argument = this.#args[this.#at++]!
      if (argument === '-h' || argument === '--help') this.#words.unshift('help')
      else if (argument === '--version') this.#words.unshift('version')
      else if (argument === '--json') this.json = true
      else if (argument.startsWith('-')) this.#flag(argument)
      else this.#words.push(argument)
    }
  }

  /** The command, or undefined for one that does not exist. */
  command(): Command | undefined {
    const [word = '', ...surplus] = this.#words
    // An empty word on the command line (an unset variable in quotes) is not the command without a name.
    if (!Object.hasOwn(COMMANDS, word) || (word === '' && this.#words.length > 0)) {
      const near = suggestion(nearest(word, Object.keys(COMMANDS).filter(Boolean)))
      this.problems.add('flag', `${word || '""'}: unknown command${near || '; see pillion help for those there are'}`)
      return undefined
    }
    for (const each of word === 'help' ? [] : surplus.slice(0, 1)) {
      const hint =
        word === 'run'
          ? `the command comes after "--", as in: pillion run -- ${each}`
          : 'unexpected; options begin with --'
      this.problems.add('flag', `${each}: ${hint}`)
    }
    return word as Command // hasOwn has just said so
  }

  #flag(argument: string): void {
    const equals = argument.indexOf('=')
    const written = equals < 0 ? argument : argument.slice(0, equals)
    const attached = equals < 0 ? undefined : argument.slice(equals + 1)
    const name = written.startsWith('--') ? written.slice(2) : ''
    const found = this.#names.flag(name)
    const negated = name.startsWith('no-') ? this.#names.flag(name.slice(3)) : undefined
    if (name === 'config' || name === 'config.file') this.#config(written, attached)
    else if (Object.hasOwn(SWITCHES, name))
      this.#switch(name as Switch, attached) // hasOwn has just said so
    else if (found) {
      const value = attached ?? (isSwitch(found.leaf) ? this.#truth() : this.#next())
      if (value !== undefined) this.flags.push({ written, ...found, value })
      else this.problems.add('flag', `${written}: needs a value: ${written}=… (${found.leaf.expects})`)
    } else if (negated && isSwitch(negated.leaf)) {
      if (attached === undefined) this.flags.push({ written, ...negated, value: 'false' })
      else this.problems.add('flag', `${written}: takes no value; write --${name.slice(3)}=${attached}`)
    } else {
      this.problems.add('flag', `${written}: unknown option${this.#meant(name)}`)
      // What follows is probably its value, and may be a secret: neither a command nor something to quote.
      if (attached === undefined) this.#next()
    }
  }

  #config(written: string, attached: string | undefined): void {
    const value = attached ?? this.#next()
    if (!value) this.problems.add('flag', `${written}: needs the name of a file`)
    else if (this.config !== undefined) this.problems.add('flag', `${written}: is given twice; there is one file`)
    else this.config = value
  }

  #switch(name: Switch, attached: string | undefined): void {
    const value = attached ?? this.#next()
    if (value) this.switches.set(name, [...(this.switches.get(name) ?? []), value])
    else this.problems.add('flag', `--${name}: needs ${SWITCHES[name][1]}`)
  }

  /** A bare switch is true; "true" or "false" after it can be nothing but its value. */
  #truth(): string {
    const next = this.#args[this.#at]
    return next === 'true' || next === 'false' ? this.#next()! : 'true'
  }

  /** The argument after this one, unless it is a flag itself; a value that begins with "-" is written with "=". */
  #next(): string | undefined {
    const next = this.#args[this.#at]
    if (next === undefined || (next.startsWith('-') && next !== '-')) return undefined
    this.#at++
    return next
  }

  #meant(name: string): string {
    const paths = this.#names.paths()
    const below = paths.filter(path => flagOf(path).startsWith(`--${name}.`)).slice(0, 3)
    if (name && below.length) return `; it is a group of options, such as ${below.map(flagOf).join(', ')}`
    // Items are offered with the index that was written.
    const index = /\.(0|[1-9]\d{0,2})\./.exec(name)?.[1] ?? '0'
    const flags = paths.map(path => flagOf(path.replace('[]', `[${index}]`)).slice(2))
    const near = nearest(name, [...flags, 'config', 'help', 'version', 'json'])
    return suggestion(near.map(each => `--${each}`)) || '; see pillion help for those there are'
  }
}
