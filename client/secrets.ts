// A server may repeat in an error message what it was sent. Before a message is logged or shown, credentials are taken out.

/** Anything shorter would be found in ordinary words. */
const SHORTEST = 4

/** The text without the values of these headers: tokens, passwords, and what else was configured. */
export function withoutSecrets(text: string, headers: Readonly<Record<string, string>>): string {
  if (text === '') return text
  const secrets = Object.values(headers).flatMap(secretsOf)
  // The longest first: one may be a part of another.
  return secrets
    .filter(({ length }) => length >= SHORTEST)
    .toSorted((a, b) => b.length - a.length)
    .reduce((rest, secret) => rest.replaceAll(secret, '[redacted]'), text)
}

function secretsOf(value: string): string[] {
  const secret = value.replace(/^(?:basic|bearer|api-token|apikey)\s+/i, '')
  if (!/^basic\s/i.test(value)) return [secret]
  const pair = Buffer.from(secret, 'base64').toString()
  return [secret, pair, pair.slice(pair.indexOf(':') + 1)]
}
