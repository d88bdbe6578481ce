// Faults in the files that the web options name: found before the sidecar starts, and before a reload changes anything.

import type { Fault } from '../../options/kinds.ts'

/** The options of the web server that name files, and those that they depend on. */
interface Files {
  readonly listen: unknown
  readonly token_file: string | undefined
  readonly config: { readonly file: string | undefined }
}

/** Files are read only if the server listens, which is when they are used. */
export async function webFaults({ listen, token_file: token, config: { file } }: Files): Promise<readonly Fault[]> {
  if (!listen) return []
  return [
    ...(token === undefined ? [] : await fault('token_file', () => readable(token))),
    ...(file === undefined ? [] : await fault('config.file', () => usable(file))),
  ]
}

async function readable(path: string): Promise<void> {
  await (await import('./token.ts')).readToken(path)
}

async function usable(path: string): Promise<void> {
  const { tls } = await (await import('./config.ts')).readConfig(path)
  if (tls) await (await import('./tls.ts')).openTls(tls, path)
}

async function fault(path: string, read: () => Promise<void>): Promise<readonly Fault[]> {
  try {
    await read()
    return []
  } catch (error) {
    return [{ path, message: error instanceof Error ? error.message : String(error) }]
  }
}
