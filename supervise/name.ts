// The service name of a command: the program that a person would name, seen through whatever starts it.

import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'

/**
 * The configured `app.name`; else the base name of the program without its extension, of the script, module or class for an
 * interpreter, and of package.json for npm. Programs that only start another one (env, nice, npx, opentelemetry-instrument,
 * `sh -c`) are looked through. Where there is nothing to name (`node -e …`), it is the program itself.
 */
export function serviceName(command: readonly string[], configured?: string, folder = process.cwd()): string {
  return configured || named(command, folder, 0) || bare(command[0] ?? '') || 'application'
}

/** A command that starts itself again and again has no name. */
const DEEPEST = 8

function named(command: readonly string[], folder: string, depth: number): string | undefined {
  const [file, ...args] = command
  if (file === undefined || depth > DEEPEST) return undefined
  const program = bare(file).replace(/(?<=^(?:python|pypy|ruby|perl|php|lua|node))[\d.]+$/, '')
  const again = (inner: readonly string[]): string | undefined => named(inner, folder, depth + 1)
  if (SHELLS.includes(program)) {
    const code = args.findIndex(each => /^-[a-z]*c$/.test(each))
    if (code >= 0) {
      const first = firstCommand(args[code + 1] ?? '')
      // sh -c 'exec "$@"' NAME COMMAND…
      return again(first[0] === '$@' ? args.slice(code + 3) : first) ?? bare(file)
    }
  }
  const manager = MANAGERS[program]
  if (manager) {
    const rest = operands(args, ['--prefix', '-C', '--cwd', '--dir', '-w', '--workspace'])
    if (rest[0] && manager.includes(rest[0])) return again(operands(rest.slice(1), ['-p', '--package']))
    const at = args.findIndex(each => ['--prefix', '-C', '--cwd', '--dir'].includes(each))
    return packageName(join(folder, (at >= 0 && args[at + 1]) || '.')) ?? bare(file)
  }
  const wrapper = WRAPPERS[program]
  if (wrapper) {
    let rest = operands(args, wrapper.valued ?? [])
    if (wrapper.verb && rest[0] !== wrapper.verb) return bare(file)
    if (wrapper.verb) rest = operands(rest.slice(1), wrapper.valued ?? [])
    while (program === 'env' && /^[A-Za-z_]\w*=/.test(rest[0] ?? '')) rest = rest.slice(1)
    return again(rest.slice(wrapper.skip ?? 0)) ?? bare(file)
  }
  const valued = INTERPRETERS[program]
  if (!valued) return bare(file)
  for (let i = 0; i < args.length; i++) {
    const argument = args[i]!
    if (valued.includes(argument)) i++
    // Code on the command line has no name.
    else if (CODE.includes(argument)) break
    else if (argument === 'run') {
      // bun run start: a script of package.json.
      if (program === 'bun' && /^[\w:-]+$/.test(args[i + 1] ?? '')) return packageName(folder) ?? bare(args[i + 1]!)
    }
    // A module that is a wrapper itself: python -m opentelemetry-instrument.
    else if (argument === '-m' && args[i + 1]) return again(args.slice(i + 1)) ?? bare(file)
    else if (!argument.startsWith('-')) return bare(argument).replace(/:.*$/, '') || bare(file)
  }
  return bare(file)
}

/** The arguments after a program's own options. */
function operands(args: readonly string[], valued: readonly string[]): readonly string[] {
  let at = 0
  while (args[at]?.startsWith('-')) {
    if (args[at] === '--') return args.slice(at + 1)
    at += valued.includes(args[at]!) ? 2 : 1
  }
  return args.slice(at)
}

/** The first command of a script that is not there to prepare: "cd shop && exec node server.js" is "node server.js". */
function firstCommand(script: string): readonly string[] {
  for (const part of script.split(/&&|\|\||[;|\n]|(?<![<>])&(?!>)/)) {
    const words = (part.match(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g) ?? [])
      .map(word => word.replace(/["']/g, ''))
      .filter(word => !/^\d*[<>]/.test(word))
    while (words.length > 0 && (/^[A-Za-z_]\w*=/.test(words[0]!) || words[0] === 'exec')) words.shift()
    const [first] = words
    if (first === undefined || PREPARING.includes(first) || first.startsWith('#')) continue
    // Alone it prints the environment.
    if (first === 'env' && words.length === 1) continue
    if (first === '$@') return words
    // Expansions and loops are not ours to follow.
    return /^(?:if|for|while|until|case|\(|\{|.*\$)/.test(first) ? [] : words
  }
  return []
}

/** npm, without the scope. */
function packageName(folder: string): string | undefined {
  try {
    const { name } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { name?: unknown }
    return typeof name === 'string' && name ? name.replace(/^@[^/]*\//, '') : undefined
  } catch {
    return undefined
  }
}

const SHELLS: readonly string[] = ['sh', 'bash', 'dash', 'ash', 'zsh', 'ksh']
const PREPARING: readonly string[] = [
  ...['cd', 'export', 'set', 'umask', 'ulimit', 'trap', 'unset', 'source', '.', ':', 'true', 'test', '[', 'echo'],
  ...['printf', 'mkdir', 'sleep', 'wait', 'shopt', 'alias', 'rm', 'cp', 'chown', 'chmod'],
  ...['exit', 'kill', 'read', 'eval', 'break', 'return', 'shift', 'type', 'command', 'which'],
]

/** Package managers, each with its words for "run this program". */
const MANAGERS: Readonly<Record<string, readonly string[]>> = {
  npm: ['exec', 'x'],
  pnpm: ['exec', 'dlx'],
  yarn: ['exec', 'dlx'],
}

interface Wrapper {
  /** Options that take the next argument. */
  readonly valued?: readonly string[]
  /** Arguments before the command. */
  readonly skip?: number
  /** The word that must come before the command. */
  readonly verb?: string
}

const WRAPPERS: Readonly<Record<string, Wrapper>> = {
  env: { valued: ['-u', '--unset', '-C', '--chdir'] },
  nice: { valued: ['-n', '--adjustment'] },
  ionice: { valued: ['-c', '--class', '-n', '--classdata'] },
  chrt: { skip: 1 },
  taskset: { skip: 1 },
  numactl: {},
  nohup: {},
  setsid: {},
  stdbuf: { valued: ['-i', '-o', '-e'] },
  timeout: { valued: ['-k', '--kill-after', '-s', '--signal'], skip: 1 },
  time: { valued: ['-f', '-o'] },
  tini: { valued: ['-p', '-e'] },
  'dumb-init': { valued: ['-r', '--rewrite'] },
  gosu: { skip: 1 },
  'su-exec': { skip: 1 },
  sudo: { valued: ['-u', '--user', '-g', '--group', '-C', '-D', '-h', '-p'] },
  setpriv: {
    valued: [
      ...['--reuid', '--regid', '--groups', '--inh-caps', '--ambient-caps', '--bounding-set', '--securebits'],
      ...['--pdeathsig', '--selinux-label', '--apparmor-profile'],
    ],
  },
  prlimit: {},
  doas: { valued: ['-u', '-C'] },
  catatonit: {},
  setuidgid: { skip: 1 },
  's6-setuidgid': { skip: 1 },
  'xvfb-run': { valued: ['-n', '-s', '-e', '-f', '-w', '-p'] },
  // The usual ENTRYPOINT of an image; without arguments it is the program.
  'docker-entrypoint': {},
  npx: { valued: ['-p', '--package'] },
  bunx: {},
  pnpx: {},
  'opentelemetry-instrument': {
    valued: [
      '--traces_exporter',
      '--metrics_exporter',
      '--logs_exporter',
      '--service_name',
      '--exporter_otlp_endpoint',
    ],
  },
  'ddtrace-run': {},
  'newrelic-admin': { verb: 'run-program' },
  poetry: { verb: 'run', valued: ['-C', '--directory'] },
  pipenv: { verb: 'run' },
  pdm: { verb: 'run' },
  uv: { verb: 'run', valued: ['--with', '--python', '-p', '--directory', '--project', '--env-file'] },
  conda: { verb: 'run', valued: ['-n', '--name', '-p', '--prefix'] },
  bundle: { verb: 'exec' },
  dotenv: { valued: ['-e', '-f', '-p'] },
  'cross-env': {},
}

/** Interpreters and servers, each with its options that take the next argument as their value. */
const INTERPRETERS: Readonly<Record<string, readonly string[]>> = {
  node: [
    ...['-r', '--require', '--import', '--loader', '--experimental-loader', '-C', '--conditions'],
    ...['--env-file', '--title', '--max-old-space-size', '--max-semi-space-size', '--stack-trace-limit'],
  ],
  tsx: [],
  'ts-node': [],
  nodemon: ['--exec', '-e', '--ext', '-w', '--watch', '--inspect'],
  bun: ['-r', '--preload'],
  deno: ['-c', '--config'],
  dotnet: [],
  python: ['-W', '-X'],
  pypy: ['-W', '-X'],
  ruby: ['-I', '-r', '-C'],
  perl: ['-I'],
  go: ['-C', '-exec', '-tags', '-ldflags', '-gcflags', '-mod', '-modfile'],
  php: ['-d', '-c'],
  java: ['-cp', '-classpath', '--class-path', '-p', '--module-path', '--add-modules', '--add-opens', '--add-exports'],
  sh: ['-o'],
  dash: ['-o'],
  ash: ['-o'],
  zsh: ['-o'],
  ksh: ['-o'],
  bash: ['-o', '-O'],
  gunicorn: [
    '-c',
    '--config',
    '-b',
    '--bind',
    '-w',
    '--workers',
    '-k',
    '--worker-class',
    '--threads',
    '-t',
    '--timeout',
  ],
  uvicorn: ['--host', '--port', '--uds', '--workers', '--loop', '--http', '--log-level', '--app-dir'],
  hypercorn: ['-b', '--bind', '-w', '--workers', '-c', '--config'],
}
/** Options that carry code instead of naming a program. */
const CODE: readonly string[] = ['-c', '-e', '-p', '--eval', '--print', '-pe']

function bare(path: string): string {
  return basename(path).replace(/(?<=.)\.(?:[cm]?[jt]s|py|rb|pl|php|jar|sh|exe|dll)$/i, '')
}
