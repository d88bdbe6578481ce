// What may not be seen of the options, and options that do not show it to whoever prints them by mistake: in a log, in JSON,
// in a crash report, they look as in print-config. Reading, comparing and iterating them is as ever.

const REDACTED = '[redacted]'
const INSPECT = Symbol.for('nodejs.util.inspect.custom')

/** A URL's userinfo and query are where tokens are put. */
export function withoutSecrets(text: string): string {
  return text
    .replaceAll(/(:\/\/)\S*@/g, `$1${REDACTED}@`)
    .replace(/^([a-z][a-z0-9+.-]*:\/\/[^?]*)\?.*$/is, `$1?${REDACTED}`)
}

/** A list of secrets, of which not even the number is shown. */
export function opaqueList(secrets: readonly unknown[]): readonly unknown[] {
  return Object.freeze(shownAs([...secrets], REDACTED))
}

/** Fields of which these are secrets, and others may be URLs. */
export function opaqueFields<F extends object>(fields: F, secrets: readonly string[]): F {
  const shown = Object.entries(fields).map(([name, value]): [string, unknown] => {
    if (typeof value !== 'string') return [name, value]
    return [name, secrets.includes(name) ? REDACTED : withoutSecrets(value)]
  })
  return shownAs(fields, Object.fromEntries(shown))
}

/** Not enumerable, so that nothing which compares or copies the value meets them. */
function shownAs<V extends object>(value: V, shown: unknown): V {
  return Object.defineProperties(value, {
    [INSPECT]: { value: () => shown },
    toJSON: { value: () => shown },
  })
}
