// Programs for tests of real log files: nginx, and the sidecar beside it.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import type { Test } from 'tap'
import { Child, until as came, freePort } from '../e2e/child.ts'
import { type Ride, startSidecar } from '../e2e/ride.ts'

export const missing = (program: string, install: string): string | false =>
  [`/usr/sbin/${program}`, `/usr/bin/${program}`].some(existsSync)
    ? false
    : `needs ${program}: apt-get install ${install}`

/** Asks for a path as a client of its own; resolves with the status. */
export function ask(port: number, path: string, method = 'GET'): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  request({ host: '127.0.0.1', port, path, method, agent: false }, answer => {
    answer.resume().on('end', () => resolve(answer.statusCode ?? 0))
  })
    .on('error', reject)
    .end()
  return promise
}

export async function nginx(
  t: Test,
  dir: string,
  body: string,
): Promise<{ port: number; log: string; requests(): Promise<number> }> {
  const port = await freePort()
  const status = await freePort()
  const log = join(dir, 'access.log')
  mkdirSync(join(dir, 'temp'))
  const temps = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    each => `${each}_temp_path ${dir}/temp/${each};`,
  )
  const conf = join(dir, 'nginx.conf')
  const user = process.getuid?.() === 0 ? 'user root;' : ''
  writeFileSync(
    conf,
    `${user} daemon off; worker_processes 1; pid ${dir}/pid; error_log ${dir}/error.log; events { worker_connections 64; }
http { ${temps.join(' ')}
  log_format timed '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" $request_time';
  access_log ${log} timed;
  server { listen 127.0.0.1:${port}; ${body} }
  server { listen 127.0.0.1:${status}; access_log off; location / { stub_status; } } }`,
  )
  const server = await Child.start('nginx', ['-c', conf, '-p', dir])
  t.teardown(() => server.stop())
  await came('nginx', () => ask(port, '/').then(() => true))
  const requests = async (): Promise<number> => {
    const text = await (await fetch(`http://127.0.0.1:${status}/`)).text()
    // "accepts handled requests", then their numbers. It counts the question too.
    return Number(/\n\s*\d+ \d+ (\d+)/.exec(text)?.[1])
  }
  return { port, log, requests }
}

/** The sidecar with this configuration. */
export function beside(dir: string, yaml: string, command?: readonly string[]): Promise<Ride> {
  const config = join(dir, 'pillion.yaml')
  writeFileSync(config, yaml)
  return startSidecar({ flags: ['--config', config], ...(command && { command }) })
}
