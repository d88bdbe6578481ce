// mtail as a reader of access logs: a regular expression divides each line, and requests are counted by method and status, with
// a histogram of their durations.

import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

const PROGRAM = '/usr/bin/mtail'
const TIME = '/usr/bin/time'

const RULES = `
counter requests by method, code
histogram seconds by method buckets 0, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10

/^\\S+ - \\S+ \\[(?P<time>[^\\]]+)\\] "(?P<method>[A-Z]+) (?P<path>\\S+) HTTP\\/[0-9.]+" (?P<code>\\d{3}) \\d+ "[^"]*" "[^"]*" (?P<took>[0-9.]+)$/ {
  strptime($time, "02/Jan/2006:15:04:05 -0700")
  requests[$method][$code]++
  seconds[$method] = $took
}
`

export const hasMtail = (): boolean => existsSync(PROGRAM) && existsSync(TIME)

/** The CPU seconds for which it reads a file of so many requests. */
export async function mtail(folder: string, file: string, lines: number): Promise<number> {
  mkdirSync(folder, { recursive: true })
  const rules = join(folder, 'requests.mtail')
  const used = join(folder, 'used')
  writeFileSync(rules, RULES)
  const args = ['--progs', rules, '--logs', file, '--one_shot', '--one_shot_format', 'prometheus', '--log_dir', folder]
  const { stdout } = await promisify(execFile)(TIME, ['-o', used, '-f', '%U %S', PROGRAM, ...args], {
    maxBuffer: 1 << 26,
  })
  const counted = [...stdout.matchAll(/^requests\{.*\} (\d+)/gm)].reduce((sum, [, each]) => sum + Number(each), 0)
  if (counted !== lines) throw new Error(`mtail counted ${counted} of ${lines} requests`)
  const [user = 0, system = 0] = readFileSync(used, 'utf8').trim().split(' ').map(Number)
  return user + system
}
