// The options for checking the certificate of a server that we ask; the same for probes and for scrapes of the
// application.

import { file, flag, text } from './kinds.ts'

export const CLIENT_TLS = {
  tls_verify: flag('Whether the certificate must be valid, trusted and issued for the name.', { default: true }),
  tls_server_name: text('The server name to send and to verify, if it is not the host of the URL or address.'),
  tls_ca_file: file('A PEM file with the certificate authorities to trust instead of the well-known ones.'),
}
