// Texts of /proc in the kernel's own form, for machines that are made up. `t.testdir` plants them.

import { mkdirSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Facts {
  comm?: string
  state?: string
  ppid?: number
  /** Ticks. */
  user?: number
  system?: number
  childUser?: number
  childSystem?: number
  minor?: number
  major?: number
  childMinor?: number
  childMajor?: number
  threads?: number
  start?: number
  voluntary?: number
  involuntary?: number
  /** KiB; undefined leaves the Vm lines out, as of a zombie. */
  resident?: number
  read?: number
  written?: number
  /** Nanoseconds. */
  run?: number
  wait?: number
  maxFds?: number | 'unlimited'
  fds?: number
  cmdline?: string
  /** A thread of the kernel. */
  kernel?: boolean
}

export function stat(pid: number, of: Facts = {}): string {
  const { comm = 'app', state = 'S', ppid = 1, threads = 1, start = 1000 } = of
  const { minor = 0, childMinor = 0, major = 0, childMajor = 0 } = of
  const { user = 0, system = 0, childUser = 0, childSystem = 0 } = of
  const faults = `${minor} ${childMinor} ${major} ${childMajor}`
  const times = `${user} ${system} ${childUser} ${childSystem}`
  return `${pid} (${comm}) ${state} ${ppid} ${pid} ${pid} 0 -1 ${of.kernel ? 0x208040 : 4194560} ${faults} ${times} 20 0 ${threads} 0 ${start} 4096000 512 18446744073709551615 1 1 0 0 0 0 0 4096 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n`
}

export function status(of: Facts = {}): string {
  const { resident = 2048, voluntary = 5, involuntary = 1, threads = 1 } = of
  const memory =
    of.state === 'Z'
      ? ''
      : `VmPeak:\t    9000 kB\nVmSize:\t    8000 kB\nVmRSS:\t    ${resident} kB\nVmSwap:\t       4 kB\n`
  return `Name:\t${(of.comm ?? 'app').replaceAll('\n', '\\n')}\nUmask:\t0022\nState:\t${of.state ?? 'S'} (x)\nUid:\t1000\t1000\t1000\t1000\nGid:\t1000\t1000\t1000\t1000\nFDSize:\t64\nGroups:\t1000 \n${memory}Threads:\t${threads}\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nvoluntary_ctxt_switches:\t${voluntary}\nnonvoluntary_ctxt_switches:\t${involuntary}\n`
}

export function io(of: Facts = {}): string {
  const { read = 8192, written = 4096 } = of
  return `rchar: 999\nwchar: 888\nsyscr: 7\nsyscw: 6\nread_bytes: ${read}\nwrite_bytes: ${written}\ncancelled_write_bytes: 4096\n`
}

export function schedstat(of: Facts = {}): string {
  return `${of.run ?? 2_000_000_000} ${of.wait ?? 500_000_000} 42\n`
}

export function limits(of: Facts = {}): string {
  const max = String(of.maxFds ?? 1024).padEnd(21)
  return `Limit                     Soft Limit           Hard Limit           Units     \nMax cpu time              unlimited            unlimited            seconds   \nMax open files            ${max}4096                 files     \nMax pending signals       7000                 7000                 signals   \n`
}

/** The files that `t.testdir` creates. */
export interface Files {
  [name: string]: string | Files
}

/** The folder of one process. */
export function folder(pid: number, of: Facts = {}): Files {
  const fd: Files = {}
  for (let i = 0; i < (of.fds ?? 3); i++) fd[i] = ''
  return {
    stat: stat(pid, of),
    status: status(of),
    io: io(of),
    schedstat: schedstat(of),
    limits: limits(of),
    cmdline: of.cmdline ?? `${of.comm ?? 'app'}\0`,
    comm: `${of.comm ?? 'app'}\n`,
    fd,
  }
}

/** A /proc of these processes, 1000 s after boot. */
export function machine(processes: Record<number, Facts>): Files {
  const folders = Object.entries(processes).map(([pid, facts]) => [pid, folder(Number(pid), facts)] as const)
  return { uptime: '1000.00 1900.00\n', ...Object.fromEntries(folders) }
}

/** Adds files to a planted machine. */
export function plant(path: string, files: Files): void {
  mkdirSync(path, { recursive: true })
  for (const [name, content] of Object.entries(files)) {
    if (typeof content === 'string') writeFileSync(join(path, name), content)
    else plant(join(path, name), content)
  }
}

/**
 * Ends a process of a planted machine. Its open files answer nothing from then on, as the kernel's do with ESRCH; a
 * file that is merely deleted could still be read.
 */
export function end(path: string): void {
  for (const file of readdirSync(path, { withFileTypes: true, recursive: true }))
    if (file.isFile()) truncateSync(join(file.parentPath, file.name))
  rmSync(path, { recursive: true })
}

const TCP_HEAD =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                                                     \n'

/** Rows as [local address, port, state, receive queue, inode]. */
export function tcp(...rows: readonly (readonly [string, number, string, number, number])[]): string {
  const hex = (value: number, digits: number) => value.toString(16).toUpperCase().padStart(digits, '0')
  return (
    TCP_HEAD +
    rows
      .map(([address, port, state, queue, inode], i) => {
        const remote = '0'.repeat(address.length)
        return `${String(i).padStart(4)}: ${address}:${hex(port, 4)} ${remote}:0000 ${state} 00000000:${hex(queue, 8)} 00:00000000 00000000  1000        0 ${inode} 1 0000000000000000 100 0 0 10 0\n`
      })
      .join('')
  )
}

/** The value of one series in an exposition, or undefined when it is absent. */
export function sample(text: string, series: string): number | undefined {
  for (const line of text.split('\n')) {
    const at = line.lastIndexOf(' ')
    if (line.slice(0, at) === series) return Number(line.slice(at + 1))
  }
  return undefined
}
