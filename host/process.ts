// Keeps secrets out of what other users of this machine can see of our process, and out of Node's reports about its end.

import { withoutSecrets } from '../options/opaque.ts'
import type { Flag } from '../options/read.ts'
import { isSecret } from '../options/write.ts'

/**
 * Takes secrets out of /proc/PID/cmdline, where every user can read them; they have been there while we started. Reports of
 * Node, if the operator has asked for them, leave out the environment.
 */
export function hide(argv: readonly string[], flags: readonly Flag[]): void {
  if (process.report) process.report.excludeEnv = true
  const [program = '', main = '', ...given] = argv
  const shown = withoutSecretValues(given, flags)
  // Only then: a title of our own also renames the process, and loses where one argument ends and the next begins.
  if (shown.some((each, at) => each !== given[at]))
    process.title = [program, ...process.execArgv, main, ...shown].join(' ')
}

/** The arguments, up to the application's, with … for each secret. */
function withoutSecretValues(given: readonly string[], flags: readonly Flag[]): readonly string[] {
  const secret = new Set(flags.filter(({ leaf }) => isSecret(leaf)).map(({ written }) => written))
  const end = given.includes('--') ? given.indexOf('--') : given.length
  return given.map((each, at) => {
    if (at >= end) return each
    const [name = '', value] = each.split(/=(.*)/s, 2)
    if (value !== undefined && secret.has(name)) return `${name}=…`
    return secret.has(given[at - 1] ?? '') ? '…' : withoutSecrets(each)
  })
}
