// Third-party programs that the tests compare with; `.ci/judges` installs them.

import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Child } from '../e2e/child.ts'

export const ROOT = fileURLToPath(new URL('../../', import.meta.url))

const CACHE = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'pillion', 'judges')
export const FOLDER = join(CACHE, folderOf(readFileSync(join(ROOT, '.ci/judges'), 'utf8')))

/** False if they are installed; otherwise the message of a skip. */
export const absent: string | false = existsSync(join(FOLDER, 'whole')) ? false : 'needs: .ci/judges'

export interface Verdict {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export async function judge(
  name: 'kubernetes-validate' | 'kustomize' | 'compose-spec' | 'h2spec' | 'python',
  args: readonly string[],
  cwd = ROOT,
): Promise<Verdict> {
  return await ask(join(FOLDER, 'bin', name), args, cwd)
}

export async function ask(program: string, args: readonly string[], cwd = ROOT): Promise<Verdict> {
  await using child = await Child.start(program, args, {}, cwd)
  const { code } = await child.ended
  return { code, stdout: child.stdout, stderr: child.stderr }
}

function folderOf(script: string): string {
  const versions = /^schemas=\S+ .*$/m.exec(script)?.[0].split(' ') ?? []
  return versions.map(each => each.slice(each.indexOf('=') + 1)).join('-')
}
