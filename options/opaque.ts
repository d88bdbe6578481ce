// Secrets in options. Options that are printed by mistake, in a log, in JSON or in a crash report, look as they do in
// print-config: without secrets. Reading, comparing and iterating them works as usual.

const REDACTED = '[redacted]'
const INSPECT = Symbol.for('nodejs.util.inspect.custom')

/** Without the userinfo and the query of a URL, which may contain tokens. */
export function withoutSecrets(text: string): string {
  return text
    .replaceAll(/(:\/\/)\S*@/g, `$1${REDACTED}@`)
    .replace(/^([a-z][a-z0-9+.-]*:\/\/[^?]*)\?.*$/is, `$1?${REDACTED}`)
}

/** A list of secrets; not even their number is shown. */
export function opaqueList(secrets: readonly unknown[]): readonly unknown[] {
  return Object.freeze(shownAs([...secrets], REDACTED))
}

/** Fields; the ones named are secrets, and others may be URLs. */
export function opaqueFields<F extends object>(fields: F, secrets: readonly string[]): F {
  const shown = Object.entries(fields).map(([name, value]): [string, unknown] => {
    if (typeof value !== 'string') return [name, value]
    return [name, secrets.includes(name) ? REDACTED : withoutSecrets(value)]
  })
  return shownAs(fields, Object.fromEntries(shown))
}

/** Not enumerable, so that comparing or copying the value ignores them. */
function shownAs<V extends object>(value: V, shown: unknown): V {
  return Object.defineProperties(value, {
    [INSPECT]: { value: () => shown },
    toJSON: { value: () => shown },
  })
}
