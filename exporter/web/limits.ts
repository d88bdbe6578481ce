// The time that a client may take, and the number of connections.

export const LIMITS = {
  headersMs: 10_000,
  requestMs: 30_000,
  /** For the last byte to be taken, after the time that a scrape may need: a reader that does not read is cut off. */
  responseMs: 30_000,
  /** The time that answers under way have after the server stops listening. */
  closeMs: 1_000,
  /** One more, and the connection that has been idle for longest is closed. */
  connections: 64,
  /** The time between two looks at the files behind the web configuration. */
  rereadMs: 2_000,
  handshakeMs: 5_000,
} as const

export type Limits = { readonly [K in keyof typeof LIMITS]: number }
