// Where `node scripts/image.ts` keeps its images, and buildah on it: no engine, no daemon, no configuration of the machine.

import { execFileSync } from 'node:child_process'
import { homedir } from 'node:os'
import { join } from 'node:path'

export const IMAGE = 'localhost/pillion:test'
export const STORE = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'pillion', 'images')

/** vfs and chroot need nothing from the kernel that a container or a virtual machine might refuse. Returns buildah's output. */
export function buildah(args: readonly string[], how: 'show' | 'quiet' = 'quiet'): string {
  const store = ['--root', join(STORE, 'root'), '--runroot', join(STORE, 'run'), '--storage-driver', 'vfs']
  const said = execFileSync('buildah', [...store, ...args], {
    encoding: 'utf8',
    env: { ...process.env, BUILDAH_ISOLATION: 'chroot' },
    stdio: ['ignore', how === 'show' ? 'inherit' : 'pipe', how === 'show' ? 'inherit' : 'pipe'],
    maxBuffer: 64 * 2 ** 20,
  })
  // Inherited output cannot be returned.
  return said ?? ''
}
