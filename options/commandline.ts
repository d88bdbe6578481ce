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
  healthcheck: ['[options]', 'ask the sidecar that runs with these options whether it is ready; 0 is yes, 1 is no'],
  version: ['[--json]', 'print the version'],
  help: ['', 'print this'],
} as const

export type Command = keyof typeof COMMANDS

export interface CommandLine {
  readonly command: Command
  readonly json: boolean
  /** --config FILE. */
  readonly config: string | undefined
  readonly flags: readonly Flag[]
  /** What stands after "--": the application and its arguments. */
  readonly application: readonly string[]
  readonly problems: readonly Problem[]
}

/** Reads the arguments after the program's name. What is wrong with the options' values is found later, by read(). */
export function parseCommandLine(args: readonly string[], names: Names): CommandLine {
  const end = args.indexOf('--')
  const own = end < 0 ? args : args.slice(0, end)
  const application = end < 0 ? [] : args.slice(end + 1)
  const line = new Line(own, names)
  line.parse()
  const { command = '', problems } = line
  if (command === 'run' && application.length === 0)
    problems.add('flag', 'run: needs a command after "--", as in: pillion run -- node server.js')
  if (command !== 'run' && end >= 0)
    problems.add('flag', `--: only run takes a command, as in: pillion run -- ${application[0] ?? 'node server.js'}`)
  if (line.json && command !== 'metrics' && command !== 'version')
    problems.add('flag', '--json: only metrics and version can print JSON')
  return { command, json: line.json, config: line.config, flags: line.flags, application, problems: problems.list }
}

class Line {
  command: Command | undefined
  config: string | undefined
  json = false
  readonly flags: Flag[] = []
  readonly problems = new Problems()
  readonly #args: readonly string[]
  readonly #names: Names
  #at = 0

  constructor(args: readonly string[], names: Names) {
    this.#args = args
    this.#names = names
  }

  parse(): void {
    while (this.#at < this.#args.length) {
      const argument = this.#args[this.#at++]!
      if (argument === '-h' || argument === '--help') this.command = 'help'
      else if (argument === '--version') this.command ??= 'version'
      else if (argument === '--json') this.json = true
      else if (argument.startsWith('-')) this.#flag(argument)
      else this.#word(argument)
    }
  }

  #word(word: string): void {
    if (this.command === undefined && word !== '' && Object.hasOwn(COMMANDS, word))
      this.command = word as Command // a key
    else if (this.command === undefined) {
      const near = suggestion(nearest(word, Object.keys(COMMANDS)))
      this.problems.add('flag', `${word}: unknown command${near || '; see pillion help for those there are'}`)
      this.command = ''
    } else if (this.command === 'run')
      this.problems.add('flag', `${word}: the command comes after "--", as in: pillion run -- ${word}`)
    else if (this.command !== 'help') this.problems.add('flag', `${word}: unexpected; options begin with --`)
  }

  #flag(argument: string): void {
    const equals = argument.indexOf('=')
    const written = equals < 0 ? argument : argument.slice(0, equals)
    const attached = equals < 0 ? undefined : argument.slice(equals + 1)
    const name = written.startsWith('--') ? written.slice(2) : ''
    const found = this.#names.flag(name)
    const negated = name.startsWith('no-') ? this.#names.flag(name.slice(3)) : undefined
    if (name === 'config' || name === 'config.file') this.#config(written, attached)
    else if (found) {
      const value = attached ?? (isSwitch(found.leaf) ? 'true' : this.#next())
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
    const index = /\.(\d{1,3})\./.exec(name)?.[1] ?? '0'
    const flags = paths.map(path => flagOf(path.replace('[]', `[${index}]`)).slice(2))
    const near = nearest(name, [...flags, 'config', 'help', 'version', 'json'])
    return suggestion(near.map(each => `--${each}`)) || '; see pillion help for those there are'
  }
}
