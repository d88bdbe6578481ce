// The command line: a command, options of the schema, a few switches, and after "--" the application's own command.

import { isHostPort } from './kinds.ts'
import { flagOf, isSwitch, type Names } from './names.ts'
import { nearest, suggestion } from './nearest.ts'
import { type Problem, Problems } from './problems.ts'
import type { Flag } from './read.ts'

/** Every command with its usage and its line of help; '' is the one without a name. */
export const COMMANDS = {
  '': ['[URL] [options]', 'observe an application that is already running; URL is short for --app.url URL'],
  run: ['[options] -- CMD ARGS…', 'start an application and observe it; end with its exit code'],
  exec: ['[options] -- CMD ARGS…', 'start the sidecar, then become the application, which keeps the process'],
  tap: ['[options]', 'run the tap alone: a relay in front of the application that sees its requests (tap.listen)'],
  check: ['[options]', 'report every mistake in the configuration, without starting anything'],
  'print-config': ['[options]', 'print the options in effect as YAML, with the source of each and without secrets'],
  schema: ['', 'print the JSON Schema of pillion.yaml'],
  metrics: ['[--json]', 'print the list of all metrics'],
  dashboards: [
    '[--out DIR | --kubernetes | --sidecar URL…]',
    'list the Grafana dashboards, write them to a folder, or print ConfigMaps or data sources',
  ],
  rules: [
    '[options] [--slo SLO]… [--format FORMAT | --kubernetes]',
    'print Prometheus rules, with alerts for each SLO: availability=99.9, shop:latency=1s:95',
  ],
  healthcheck: [
    '[--cert FILE --key FILE]',
    'ask the sidecar that was started with these options whether it is ready; 0 is yes, 1 is no',
  ],
  flight: ['show FILE [--json]', 'print a flight record as text or as data'],
  version: ['[--json]', 'print the version'],
  help: ['[SECTION | COMMAND | --all]', 'explain the options of one section, one command, or everything'],
} as const

export type Command = keyof typeof COMMANDS

/** Switches with a value that belong to one command, and a word for the value. */
const SWITCHES = {
  out: ['dashboards', 'a folder'],
  sidecar: ['dashboards', 'the address of a web server'],
  prometheus: ['dashboards', 'an address'],
  tempo: ['dashboards', 'an address'],
  slo: ['rules', 'an objective'],
  format: ['rules', 'prometheus, kubernetes or alertmanager'],
  runbooks: ['rules', 'an address'],
  grafana: ['rules', 'an address'],
  cert: ['healthcheck', 'a file'],
  key: ['healthcheck', 'a file'],
} as const satisfies Readonly<Record<string, readonly [Command, string]>>

/** Options with a short name of their own. */
const SHORT: ReadonlyMap<string, string> = new Map([['quiet', 'log.quiet']])

const PRINTS_JSON: readonly Command[] = ['metrics', 'version', 'flight']

export type Switch = keyof typeof SWITCHES

export interface CommandLine {
  readonly command: Command
  readonly json: boolean
  /** Objects for Kubernetes instead of files. */
  readonly kubernetes: boolean
  /** Help: --all, and the section or command that is asked about. */
  readonly all: boolean
  readonly topic: string | undefined
  /** The file of `flight show`. */
  readonly file: string | undefined
  /** --config FILE. */
  readonly config: string | undefined
  readonly flags: readonly Flag[]
  /** Switches that belong to one command: name → values, in the order given. */
  readonly switches: ReadonlyMap<Switch, readonly string[]>
  /** Everything after "--": the application and its arguments. */
  readonly application: readonly string[]
  readonly problems: readonly Problem[]
}

/** Reads the arguments after the program's name. Mistakes in the values of options are found later, by read(). */
export function parseCommandLine(args: readonly string[], names: Names): CommandLine {
  const end = args.indexOf('--')
  const application = end < 0 ? [] : args.slice(end + 1)
  const line = new Line(end < 0 ? args : args.slice(0, end), names)
  line.parse()
  const { json, kubernetes, all, config, flags, problems, switches } = line
  const command = line.command()
  if (command !== undefined) {
    const wrong = (text: string): void => problems.add('flag', text)
    if (json && !PRINTS_JSON.includes(command)) wrong(`--json: only ${PRINTS_JSON.join(', ')} can print JSON`)
    if (command === 'flight' && (line.words[1] !== 'show' || line.words.length !== 3))
      wrong('flight: needs a verb and a file, as in: pillion flight show FILE')
    if (kubernetes && command !== 'rules' && command !== 'dashboards')
      wrong('--kubernetes: belongs to pillion rules and pillion dashboards')
    if (kubernetes && switches.has('format'))
      wrong('--kubernetes: cannot be given with --format; it is one of its values')
    if (all && command !== 'help') wrong('--all: belongs to pillion help')
    for (const name of switches.keys())
      if (SWITCHES[name][0] !== command) wrong(`--${name}: belongs to pillion ${SWITCHES[name][0]}`)
    const starts = command === 'run' || command === 'exec'
    if (starts && application.length === 0 && !line.surplus)
      wrong(`${command}: needs a command after "--", as in: pillion ${command} -- node server.js`)
    if (!starts && end >= 0)
      wrong(`--: only run and exec take a command, as in: pillion run -- ${application[0] ?? 'node server.js'}`)
  }
  return {
    command: command ?? '',
    json,
    kubernetes,
    all,
    topic: line.topic,
    file: command === 'flight' ? line.words[2] : undefined,
    config,
    flags,
    switches,
    application,
    problems: problems.list,
  }
}

class Line {
  config: string | undefined
  readonly switches = new Map<Switch, string[]>()
  json = false
  kubernetes = false
  all = false
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

  get words(): readonly string[] {
    return this.#words
  }

  get surplus(): boolean {
    return this.#words.length > 1
  }

  /** The first word that is not itself a wish for help: `pillion help run`, `pillion run --help`. */
  get topic(): string | undefined {
    return this.#words.find(word => word !== 'help')
  }

  parse(): void {
    while (this.#at < this.#args.length) {
      const argument = this.#args[this.#at++]!
      if (argument === '-h' || argument === '--help') this.#words.unshift('help')
      else if (argument === '--version') this.#words.unshift('version')
      else if (argument === '--json') this.json = true
      else if (argument === '--kubernetes') this.kubernetes = true
      else if (argument === '--all') this.all = true
      else if (argument.startsWith('-')) this.#flag(argument)
      else if (/^https?:\/\//i.test(argument) || isHostPort(argument)) this.#address(argument)
      else this.#words.push(argument)
    }
  }

  /** The command, or undefined for one that does not exist. */
  command(): Command | undefined {
    const [word = '', ...surplus] = this.#words
    // An empty word on the command line (an unset variable in quotes) is not the command without a name.
    if (!Object.hasOwn(COMMANDS, word) || (word === '' && this.#words.length > 0)) {
      const near = /^:?\d+$/.test(word)
        ? `; an application on this port is localhost:${word.replace(':', '')}`
        : suggestion(nearest(word, Object.keys(COMMANDS).filter(Boolean)))
      this.problems.add('flag', `${word || '""'}: unknown command${near || '; see pillion help'}`)
      return undefined
    }
    for (const each of word === 'help' || word === 'flight' ? [] : surplus.slice(0, 1)) {
      const hint =
        word === 'run' || word === 'exec'
          ? `the command comes after "--", as in: pillion ${word} -- ${each}`
          : 'unexpected; options begin with --'
      this.problems.add('flag', `${each}: ${hint}`)
    }
    return word as Command // hasOwn has just said so
  }

  /** An address that is not the value of a flag is app.url, as curl takes it. */
  #address(value: string): void {
    const url = this.#names.flag('app.url')
    if (url) this.flags.push({ written: '--app.url', ...url, value })
    else this.#words.push(value)
  }

  #flag(argument: string): void {
    const equals = argument.indexOf('=')
    const written = equals < 0 ? argument : argument.slice(0, equals)
    const attached = equals < 0 ? undefined : argument.slice(equals + 1)
    const long = written.startsWith('--') ? written.slice(2) : ''
    const name = SHORT.get(long) ?? long
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
      // The next word is probably its value and may be a secret, so it is neither taken as a command nor quoted.
      if (attached === undefined) this.#next()
    }
  }

  #config(written: string, attached: string | undefined): void {
    const value = attached ?? this.#next()
    if (!value) this.problems.add('flag', `${written}: needs the name of a file`)
    else if (this.config !== undefined)
      this.problems.add('flag', `${written}: is given twice; only one file can be read`)
    else this.config = value
  }

  #switch(name: Switch, attached: string | undefined): void {
    const value = attached ?? this.#next()
    if (value) this.switches.set(name, [...(this.switches.get(name) ?? []), value])
    else this.problems.add('flag', `--${name}: needs ${SWITCHES[name][1]}`)
  }

  /** A switch without a value is true; "true" or "false" after it is its value. */
  #truth(): string {
    const next = this.#args[this.#at]
    return next === 'true' || next === 'false' ? this.#next()! : 'true'
  }

  /** The next argument, unless it is a flag; a value that begins with "-" must be written with "=". */
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
    // Items are suggested with the index that was written.
    const index = /\.(0|[1-9]\d{0,2})\./.exec(name)?.[1] ?? '0'
    const flags = paths.map(path => flagOf(path.replace('[]', `[${index}]`)).slice(2))
    const near = nearest(name, [...flags, 'config', 'help', 'version', 'json'])
    return suggestion(near.map(each => `--${each}`)) || '; see pillion help'
  }
}
