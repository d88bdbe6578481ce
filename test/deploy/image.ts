// The image that `node scripts/image.ts` has built: its configuration, and its files as a root file system.

import { buildah, IMAGE } from '../../scripts/image/store.ts'
import { missing } from '../e2e/programs.ts'
import type { Container } from './pod.ts'

export interface Config {
  readonly User: string
  readonly Env: readonly string[]
  readonly Entrypoint: readonly string[]
  readonly WorkingDir: string
  readonly ExposedPorts: Readonly<Record<string, unknown>>
  readonly Healthcheck: { readonly Test: readonly string[] }
  readonly Labels: Readonly<Record<string, string>>
}

/** False if the image is there; otherwise the message of a skip, with the line that builds it. */
export function unbuilt(): string | false {
  if (process.getuid?.() !== 0) return 'needs root, for namespaces'
  const program = missing('buildah', 'buildah debootstrap')
  if (program) return program
  return buildah(['images', '--quiet', '--filter', `reference=${IMAGE}`]).trim()
    ? false
    : 'needs: node scripts/image.ts'
}

export class Image implements Disposable {
  readonly config: Config
  readonly root: string
  readonly #container: string

  constructor() {
    // The format is that of `docker inspect`.
    this.config = JSON.parse(buildah(['inspect', '--type', 'image', IMAGE])).Docker.config as Config
    this.#container = buildah(['from', '--pull-never', IMAGE]).trim()
    this.root = buildah(['mount', this.#container]).trim()
  }

  /** As an engine would start it, with these arguments to its entry point. */
  container(args: readonly string[], user = this.config.User): Container {
    return { ...this.program([...this.config.Entrypoint, ...args]), user }
  }

  /** Another program in the same file system. */
  program(command: readonly string[], user = this.config.User): Container {
    const env = Object.fromEntries(
      this.config.Env.map(text => [text.split('=', 1)[0]!, text.slice(text.indexOf('=') + 1)]),
    )
    return { root: this.root, user, workingDir: this.config.WorkingDir, env, command }
  }

  [Symbol.dispose](): void {
    buildah(['rm', this.#container])
  }
}
