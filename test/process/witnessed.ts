// The program behind `process.exit_helper`, compiled for tests; processes that somebody else waits for; and who holds them.

import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { compileExitStatus } from '../../scripts/exit-status.ts'

export interface Helper {
  readonly path: string
  /** Why it cannot work here; false if it can. */
  readonly skip: string | false
}

/** Its folder is removed with this process. */
export function compiledHelper(): Helper {
  const folder = mkdtempSync(join(tmpdir(), 'pillion-helper-'))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  const made = compileExitStatus(folder)
  if ('why' in made) return { path: '', skip: `${made.why}; apt-get install gcc libc6-dev` }
  const [major = 0, minor = 0] = release().split('.').map(Number)
  const old = major < 6 || (major === 6 && minor < 15)
  return { path: made.path, skip: old && `needs Linux 6.15, and this is ${release()}` }
}

/** A program that starts others when it is told to, and waits for each at once. */
export interface Nursery extends Disposable {
  /** The pid of a command that it has started. */
  bear(command: string, ...args: readonly string[]): Promise<number>
}

const NURSERY = `
  const { spawn } = process.getBuiltinModule('node:child_process')
  process.getBuiltinModule('node:readline').createInterface({ input: process.stdin })
    .on('line', line => { const [file, ...args] = JSON.parse(line)
      console.log(spawn(file, args, { stdio: 'ignore' }).pid) })
    .on('close', () => process.exit())`

export function nursery(): Nursery {
  const child = spawn(process.execPath, ['-e', NURSERY], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    async bear(...words) {
      child.stdin.write(`${JSON.stringify(words)}\n`)
      return Number((await lines.next()).value)
    },
    [Symbol.dispose]: () => void child.kill('SIGKILL'),
  }
}

/** The processes that run this program about a process; `holding`: only those that have its descriptor by now. */
export function witnesses(program: string, pid: number, holding = true): number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .filter(name => {
      try {
        if (!readFileSync(`/proc/${name}/cmdline`, 'latin1').startsWith(`${program}\0${pid}\0`)) return false
        const open = readdirSync(`/proc/${name}/fd`).map(fd => readlinkSync(`/proc/${name}/fd/${fd}`))
        return !holding || open.some(target => target.includes('pidfd'))
      } catch {
        // It has ended meanwhile.
        return false
      }
    })
    .map(Number)
}
