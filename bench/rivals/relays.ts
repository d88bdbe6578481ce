// haproxy and nginx as relays before an application, with one thread, connections that are kept on both sides, and a line for
// each request where they read requests.

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Relay {
  readonly name: string
  /** Starts it between two ports; undefined if it is not installed. */
  start(folder: string, listen: number, upstream: number): ChildProcess | undefined
}

const HAPROXY = '/usr/sbin/haproxy'
const NGINX = '/usr/sbin/nginx'

function haproxy(mode: 'tcp' | 'http'): Relay {
  return {
    name: `haproxy, mode ${mode}`,
    start(folder, listen, upstream) {
      if (!existsSync(HAPROXY)) return undefined
      mkdirSync(folder, { recursive: true })
      const conf = join(folder, `haproxy-${mode}.cfg`)
      const log = mode === 'http' ? 'log stdout format raw local0\n  option httplog' : ''
      writeFileSync(
        conf,
        `global\n  nbthread 1\n  maxconn 1000\ndefaults\n  mode ${mode}\n  ${log}\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\nlisten a\n  bind 127.0.0.1:${listen}\n  server b 127.0.0.1:${upstream}\n`,
      )
      return spawn(HAPROXY, ['-db', '-f', conf], { stdio: 'ignore' })
    },
  }
}

const nginx: Relay = {
  name: 'nginx, proxy_pass',
  start(folder, listen, upstream) {
    if (!existsSync(NGINX)) return undefined
    mkdirSync(join(folder, 'temp'), { recursive: true })
    const conf = join(folder, 'nginx.conf')
    const temps = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      each => `${each}_temp_path ${folder}/temp/${each};`,
    )
    const user = process.getuid?.() === 0 ? 'user root;' : ''
    // Without a master, so that all of its CPU is that of one process.
    writeFileSync(
      conf,
      `${user} daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/error.log; events { worker_connections 512; }
http { ${temps.join(' ')}
  log_format timed '$remote_addr [$time_local] "$request" $status $body_bytes_sent $request_time';
  access_log ${folder}/access.log timed;
  keepalive_requests 1000000;
  upstream app { server 127.0.0.1:${upstream}; keepalive 64; keepalive_requests 1000000; }
  server { listen 127.0.0.1:${listen}; location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; } } }`,
    )
    return spawn(NGINX, ['-c', conf, '-p', folder], { stdio: 'ignore' })
  },
}

export const RELAYS: readonly Relay[] = [haproxy('tcp'), haproxy('http'), nginx]
