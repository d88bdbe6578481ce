// rsyslog as a reader of log files: imfile, and each line with its time to another file. For JSON, mmjsonparse reads the line.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { cpuSeconds } from '../machine.ts'

const PROGRAM = '/usr/sbin/rsyslogd'

export const hasRsyslog = (): boolean => existsSync(PROGRAM)

/** The CPU seconds for which it reads a file of so many lines of at least so many bytes. */
export async function rsyslog(folder: string, file: string, lines: number, json: boolean): Promise<number> {
  mkdirSync(folder, { recursive: true })
  const out = join(folder, 'out')
  const parse = json ? 'module(load="mmjsonparse")' : ''
  // Of JSON, what Pillion looks for too is written: time, level and message.
  const template = json
    ? 'template(name="t" type="string" string="%$!time% %$!level% %$!msg%\\n")'
    : 'template(name="t" type="string" string="%timegenerated:::date-rfc3339% %msg%\\n")'
  const conf = join(folder, 'rsyslog.conf')
  writeFileSync(
    conf,
    `global(workDirectory="${folder}" maxMessageSize="64k")
module(load="imfile")
${parse}
${template}
input(type="imfile" File="${file}" Tag="app:" ruleset="r")
ruleset(name="r") { ${json ? 'action(type="mmjsonparse" cookie="")' : ''} action(type="omfile" file="${out}" template="t") }
`,
  )
  const child: ChildProcess = spawn(PROGRAM, ['-n', '-f', conf, '-i', join(folder, 'pid')], { stdio: 'ignore' })
  try {
    let [size, cpu] = [-1, 0]
    for (let still = 0; still < 10; ) {
      await sleep(200)
      const now = existsSync(out) ? statSync(out).size : 0
      still = now > 0 && now === size ? still + 1 : 0
      if (now !== size) cpu = cpuSeconds(child.pid!)
      size = now
      if (child.exitCode !== null) throw new Error(`rsyslog ended with ${child.exitCode}: ${conf}`)
    }
    if (size < lines * 20) throw new Error(`rsyslog wrote only ${size} bytes of ${lines} lines`)
    return cpu
  } finally {
    child.kill('SIGTERM')
    await once(child, 'exit')
  }
}
