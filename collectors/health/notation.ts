// The notation of headers and addresses in the options of probes.

/** "Name: value", split at the first colon, the name in lower case; undefined where there is none. */
export function header(line: string): { readonly name: string; readonly value: string } | undefined {
  const colon = line.indexOf(':')
  return colon < 1
    ? undefined
    : { name: line.slice(0, colon).trim().toLowerCase(), value: line.slice(colon + 1).trim() }
}

/** "HOST:PORT", an IPv6 address in brackets; undefined for anything else. */
export function hostPort(address: string): { readonly host: string; readonly port: number } | undefined {
  const [, host, port] = /^(\[[^\]]+\]|[^:\s/]+):(\d{1,5})$/.exec(address) ?? []
  if (host === undefined || Number(port) === 0 || Number(port) > 65535) return undefined
  return { host: unbracketed(host), port: Number(port) }
}

export function unbracketed(host: string): string {
  return host.replace(/^\[|\]$/g, '')
}
