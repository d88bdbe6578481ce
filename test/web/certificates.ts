// Certificates for tests, made by openssl: an authority, and what it signs.

import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Pair {
  readonly cert: string
  readonly key: string
}

export class Authority {
  readonly #dir: string
  readonly cert: string
  readonly #key: string
  #serial = 1

  constructor(dir: string, name = 'authority') {
    this.#dir = dir
    this.cert = join(dir, `${name}.crt`)
    this.#key = join(dir, `${name}.key`)
    const subject = ['-subj', `/CN=${name}`, '-days', '2', '-addext', 'basicConstraints=critical,CA:TRUE']
    openssl('req', '-x509', ...EC, ...subject, '-keyout', this.#key, '-out', this.cert)
  }

  /** Signs a certificate for the alternative names ("DNS:shop"); 0 days gives one that is expired. Returns the paths. */
  sign(name: string, names: string, days = 2): Pair {
    const pair = { cert: join(this.#dir, `${name}.crt`), key: join(this.#dir, `${name}.key`) }
    const request = join(this.#dir, `${name}.csr`)
    const extensions = join(this.#dir, `${name}.ext`)
    writeFileSync(extensions, `subjectAltName=${names}\n`)
    openssl('req', ...EC, '-subj', `/CN=${name}`, '-keyout', pair.key, '-out', request)
    if (days > 0) this.#current(request, pair, extensions, days)
    else this.#expired(request, pair, extensions)
    return pair
  }

  #current(request: string, pair: Pair, extensions: string, days: number): void {
    const by = ['-CA', this.cert, '-CAkey', this.#key, '-set_serial', String(this.#serial++), '-extfile', extensions]
    openssl('x509', '-req', '-in', request, ...by, '-days', String(days), '-out', pair.cert)
  }

  /** openssl x509 of Debian 12 cannot sign for the past; openssl ca can. */
  #expired(request: string, pair: Pair, extensions: string): void {
    const config = join(this.#dir, 'ca.cnf')
    writeFileSync(join(this.#dir, 'index.txt'), '')
    writeFileSync(
      config,
      `[ca]\ndefault_ca=d\n[d]\ndatabase=${this.#dir}/index.txt\nnew_certs_dir=${this.#dir}\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n`,
    )
    const dates = ['-startdate', '20200101000000Z', '-enddate', '20200102000000Z']
    const by = ['-cert', this.cert, '-keyfile', this.#key, '-extfile', extensions]
    openssl('ca', '-batch', '-notext', '-config', config, ...by, ...dates, '-in', request, '-out', pair.cert)
  }
}

const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] })
}
