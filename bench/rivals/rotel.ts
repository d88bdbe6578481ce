// Rotel, an OpenTelemetry agent in Rust, from its wheel on PyPI, with its own defaults: OTLP receiver, batches of 8192 spans
// or 200 ms, OTLP exporter over HTTP with gzip.

import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { freePort, launch, type Server } from '../server.ts'

const VERSION = '0.0.1a15'
const FOLDER = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'pillion', `rotel-${VERSION}`)
const BINARY = join(FOLDER, 'rotel/rotel-agent')

/** Fetches the program if it is not there; false if that cannot be done here. */
export function fetchRotel(): boolean {
  if (existsSync(BINARY)) return true
  if (spawnSync('python3', ['-m', 'pip', '--version']).status !== 0) return false
  mkdirSync(FOLDER, { recursive: true })
  const download = ['-m', 'pip', 'download', '--quiet', '--no-deps', '--only-binary=:all:', '--dest', FOLDER]
  if (spawnSync('python3', [...download, `rotel==${VERSION}`]).status !== 0) return false
  const unpack =
    'import glob,sys,zipfile; [zipfile.ZipFile(f).extractall(sys.argv[1]) for f in glob.glob(sys.argv[1]+"/*.whl")]'
  execFileSync('python3', ['-c', unpack, FOLDER])
  chmodSync(BINARY, 0o755)
  return spawnSync(BINARY, ['--help']).status === 0
}

export async function rotel(folder: string, upstream: string, wrapper: readonly string[] = []): Promise<Server> {
  const ports = { http: await freePort(), grpc: await freePort(), metrics: 0 }
  return await launch({
    name: 'Rotel',
    command: BINARY,
    args: [
      'start',
      ...['--otlp-http-endpoint', `127.0.0.1:${ports.http}`, '--otlp-grpc-endpoint', `127.0.0.1:${ports.grpc}`],
      ...['--exporter', 'otlp', '--otlp-exporter-endpoint', upstream, '--otlp-exporter-protocol', 'http'],
      ...['--pid-file', join(folder, `rotel-${ports.http}.pid`), '--log-file', join(folder, `rotel-${ports.http}.log`)],
    ],
    ports,
    wrapper,
    // It has no page: any answer will do.
    ready: `http://127.0.0.1:${ports.http}/v1/traces`,
    anyStatus: true,
  })
}
