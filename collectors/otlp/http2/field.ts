// A field of a request's head or trailers, and the rules for one (RFC 9113, sections 8.2 and 8.3).

export interface Field {
  readonly name: string
  readonly value: string
  /** Its name begins with a colon: it is part of the request line. */
  readonly pseudo: boolean
  /** Neither its name nor its value makes the request malformed. */
  readonly legal: boolean
}

export function field(name: string, value: string): Field {
  const pseudo = name.charCodeAt(0) === COLON
  return { name, value, pseudo, legal: isLegal(pseudo ? name.slice(1) : name, value) }
}

const COLON = 0x3a

function isLegal(name: string, value: string): boolean {
  // Names are in lower case. A value neither contains a line break nor begins or ends with a blank.
  if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name) || /[\0\r\n]|^[ \t]|[ \t]$/.test(value)) return false
  if (name === 'te') return value === 'trailers'
  return !OF_THE_CONNECTION.has(name)
}

/** These concern a connection of HTTP/1, and have no place here. */
const OF_THE_CONNECTION = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'])
