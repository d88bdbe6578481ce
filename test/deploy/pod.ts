// Containers as Kubernetes and compose make them, without their engines: PID and network namespaces that are shared, and for
// each container a read-only root file system, a numeric user, no capability, and no way to get one (no_new_privs).

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { ClientRequest, IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Child, until } from '../e2e/child.ts'

const http = process.getBuiltinModule('node:http')

export interface Container {
  /** The folder that is its root file system. */
  readonly root: string
  readonly user: string
  readonly command: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly workingDir?: string
}

/** A running container: `child` is the process that contains it, `pid` the program itself, numbered by this host. */
export interface Contained extends AsyncDisposable {
  readonly child: Child
  readonly pid: number
}

/** Arguments: root, working directory, user, then the program's environment and command as env(1) takes them. */
const ENTER = `set -e
root=$1 dir=$2 user=$3; shift 3
ip link set lo up
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount -o remount,bind,ro "$root"
exec chroot "$root" setpriv --reuid "\${user%:*}" --regid "\${user#*:}" --clear-groups --inh-caps=-all --bounding-set=-all \\
  --no-new-privs env --ignore-environment --chdir "$dir" "$@"`

const PAUSE: Container = { root: '/', user: '65535:65535', command: ['sleep', 'infinity'] }

export class Pod implements AsyncDisposable {
  readonly first: Contained
  readonly #opened: AsyncDisposableStack

  private constructor(first: Contained, opened: AsyncDisposableStack) {
    this.first = first
    this.#opened = opened
  }

  /** Compose's way: the first container is PID 1, others come in by `pid: service:…` and `network_mode: service:…`. */
  static async compose(first: Container): Promise<Pod> {
    await using opened = new AsyncDisposableStack()
    const namespaces = ['--pid', '--net', '--mount', '--fork', '--kill-child']
    const contained = opened.use(await contain('unshare', namespaces, first))
    return new Pod(contained, opened.move())
  }

  /** Kubernetes' way with shareProcessNamespace: PID 1 is the pause container, which outlives all others. */
  static async kubernetes(): Promise<Pod> {
    return await Pod.compose(PAUSE)
  }

  /** Starts one more container in the pod. */
  async join(container: Container): Promise<Contained> {
    const namespaces = ['--target', String(this.first.pid), '--pid', '--net']
    return this.#opened.use(await contain('nsenter', [...namespaces, '--', 'unshare', '--mount'], container))
  }

  /** Runs one more container to its end. */
  async run(container: Container): Promise<{ readonly code: number | null; readonly output: string }> {
    const namespaces = ['--target', String(this.first.pid), '--pid', '--net']
    await using child = await begin('nsenter', [...namespaces, '--', 'unshare', '--mount'], container)
    const { code } = await child.ended
    return { code, output: child.stdout + child.stderr }
  }

  /** Opens a way into the pod's network: requests to the result arrive at 127.0.0.1:`port` there. */
  async client(port: number): Promise<Client> {
    // Sockets of the file system know no network namespaces.
    const path = join(tmpdir(), `pillion-${process.pid}-${this.first.pid}-${port}.sock`)
    const relay = `require('net').createServer(a => {
      const b = require('net').connect(${port}, '127.0.0.1')
      a.on('error', () => b.destroy()).pipe(b); b.on('error', () => a.destroy()).pipe(a)
    }).listen('${path}', () => console.log('open'))`
    const enter = ['--target', String(this.first.pid), '--net', process.execPath, '-e', relay]
    const child = this.#opened.use(await Child.start('nsenter', enter))
    this.#opened.defer(() => process.getBuiltinModule('node:fs').rmSync(path, { force: true }))
    await child.says(/open/)
    return new Client(path, port)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened.disposeAsync()
  }
}

export interface Answer {
  readonly status: number | undefined
  readonly body: string
}

export class Client {
  readonly #path: string
  readonly #host: string

  constructor(path: string, port: number) {
    this.#path = path
    this.#host = `127.0.0.1:${port}`
  }

  get(path: string): Promise<Answer> {
    return this.#send('GET', path)
  }

  post(path: string, type: string, body: Buffer): Promise<Answer> {
    return this.#send('POST', path, { 'content-type': type }, body)
  }

  async #send(method: string, path: string, headers: Record<string, string> = {}, body?: Buffer): Promise<Answer> {
    const target = { socketPath: this.#path, method, path, agent: false, headers: { host: this.#host, ...headers } }
    const request: ClientRequest = http.request(target).end(body)
    // once() of 'response' gives the arguments of that event: one IncomingMessage.
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    let text = ''
    for await (const chunk of response.setEncoding('utf8')) text += chunk
    return { status: response.statusCode, body: text }
  }
}

async function begin(program: string, namespaces: string[], container: Container): Promise<Child> {
  const { root, user, command, env = {}, workingDir = '/' } = container
  const path = env['PATH'] ?? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
  const variables = Object.entries({ ...env, PATH: path }).map(([name, value]) => `${name}=${value}`)
  const script = ['sh', '-c', ENTER, 'enter', root, workingDir, user, ...variables, ...command]
  return await Child.start(program, [...namespaces, ...script])
}

async function contain(program: string, namespaces: string[], container: Container): Promise<Contained> {
  const child = await begin(program, namespaces, container)
  try {
    const pid = await until(`the container of ${container.command.join(' ')}`, () => {
      if (!child.running) throw new Error(`it ended:\n${child.stdout}${child.stderr}`)
      const pid = childOf(child.pid)
      // Until the last exec the program is not yet itself.
      return pid !== undefined && /^Uid:\t(\d+)\t\1/m.exec(status(pid))?.[1] === container.user.split(':')[0]
        ? pid
        : undefined
    })
    return {
      child,
      pid,
      async [Symbol.asyncDispose]() {
        // unshare and nsenter do not pass signals on, so the container is ended first; the other pids may be used again.
        if (child.running) signal(pid, 'SIGKILL')
        await child.ended
      },
    }
  } catch (error) {
    await child[Symbol.asyncDispose]()
    throw error
  }
}

/** Sends a signal to a container's process. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

export function status(pid: number): string {
  return readFileSync(`/proc/${pid}/status`, 'utf8')
}

function childOf(pid: number): number | undefined {
  const [first] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
  return first ? Number(first) : undefined
}
