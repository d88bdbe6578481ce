// Attribute keys as label names.

/** Other characters become "_"; a name that is taken, or that means something to Prometheus, gets a prefix. */
export function labelName(key: string, taken: readonly string[]): string {
  const plain = key.replace(/[^a-zA-Z0-9_]/g, '_').replace(/^(?=\d)/, '_')
  return taken.includes(plain) || plain === 'le' || plain.startsWith('__') ? `attribute_${plain}` : plain
}
