// TLS at the web server: from the web configuration to what Node needs, with every mistake found before the certificate in
// use is replaced; and which clients may stay after the handshake.

import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { createSecureContext, type SecureContextOptions, type TLSSocket } from 'node:tls'
import { shown } from '../../options/kinds.ts'
import type { Pem, TlsConfig } from './config.ts'

export interface Tls {
  readonly context: SecureContextOptions
  /** Whether clients are asked for a certificate; a server that listens cannot change it. */
  readonly asks: boolean
  /** The end of the certificate's validity in seconds since the epoch. */
  readonly notAfter: number
  /** Whether this client may stay; its handshake is over. */
  admits(socket: TLSSocket): boolean
  /** Whether this client has shown a certificate of an authority that is trusted. */
  certified(socket: TLSSocket): boolean
}

/** Reads certificate, key and authorities, and proves that they fit. Paths are relative to the file that names them. */
export async function openTls(config: TlsConfig, from: string): Promise<Tls> {
  const read = async (name: string, pem: Pem): Promise<string> => {
    if ('text' in pem) return pem.text
    try {
      return await readFile(resolve(dirname(from), pem.file), 'utf8')
    } catch (cause) {
      const why = cause instanceof Error && 'code' in cause ? cause.code : cause
      throw new Error(`cannot read ${name} ${shown(pem.file)}: ${why}; check tls_server_config in ${from}`, { cause })
    }
  }
  const cert = await read('cert_file', config.cert)
  const context: SecureContextOptions = {
    cert,
    key: await read('key_file', config.key),
    // Node would otherwise trust all public authorities, whose clients anybody can be.
    ca: config.clientCa ? await read('client_ca_file', config.clientCa) : [],
    minVersion: config.minVersion,
    maxVersion: config.maxVersion,
    honorCipherOrder: config.preferOwnCiphers,
    ...(config.ciphers === undefined ? {} : { ciphers: config.ciphers }),
    ...(config.curves === undefined ? {} : { ecdhCurve: config.curves }),
  }
  try {
    createSecureContext(context)
    if (config.clientCa) new X509Certificate(String(context.ca))
    const notAfter = new X509Certificate(cert).validToDate.getTime() / 1000
    return {
      context,
      asks: config.clientAuth !== 'NoClientCert',
      notAfter,
      admits: socket => admits(config, socket),
      // Without an authority to verify by, Node's word means nothing.
      certified: socket =>
        config.clientCa !== undefined && socket.getPeerX509Certificate() !== undefined && socket.authorized,
    }
  } catch (cause) {
    // OpenSSL's messages ("key values mismatch") name neither bytes nor paths.
    const why = cause instanceof Error ? cause.message : cause
    throw new Error(`cannot use the certificates of ${from}: ${why}; check that certificate and key fit`, { cause })
  }
}

function admits({ clientAuth, allowedSans }: TlsConfig, socket: TLSSocket): boolean {
  const given = socket.getPeerX509Certificate() !== undefined
  switch (clientAuth) {
    case 'NoClientCert':
    case 'RequestClientCert':
      return true
    case 'VerifyClientCertIfGiven':
      return !given || socket.authorized
    case 'RequireAnyClientCert':
      return given && namedIn(allowedSans, socket)
    case 'RequireAndVerifyClientCert':
      return given && socket.authorized && namedIn(allowedSans, socket)
  }
}

function namedIn(allowed: readonly string[], socket: TLSSocket): boolean {
  if (allowed.length === 0) return true
  return alternativeNames(socket.getPeerX509Certificate()?.subjectAltName).some(name => allowed.includes(name))
}

/**
 * The names in "DNS:shop, IP Address:10.0.0.1, URI:spiffe://shop"; one with a comma or a quote in it is written as a JSON
 * text, without which a name could pretend to be several (CVE-2021-44532).
 */
export function alternativeNames(text = ''): readonly string[] {
  const names: string[] = []
  for (const [, quoted, plain] of text.matchAll(
    /(?:DNS|IP Address|URI|email):(?:("(?:[^"\\]|\\.)*")|([^,]*))(?:, |$)/gy,
  ))
    names.push(quoted === undefined ? (plain ?? '') : String(JSON.parse(quoted)))
  return names
}
