// ${env:NAME} inside a string of the file. It is expanded after the YAML was parsed, once and only in that string, so the
// value of a variable can never become a key, a list or another reference.

export type Expanded =
  | { readonly ok: true; readonly text: string; readonly expanded: boolean }
  | { readonly ok: false; readonly message: string }

export type Environment = Readonly<Record<string, string | undefined>>

/**
 * Replaces `${env:NAME}` and `${env:NAME:-default}` (the default also replaces an empty variable, as in a shell);
 * `$$` is one `$`, and a `$` before anything else but `{` is itself.
 */
export function expand(text: string, environment: Environment): Expanded {
  let message: string | undefined
  let expanded = false
  const result = text.replaceAll(/\$\$|\$\{([^}]*)(\}?)/g, (whole, inside: string | undefined, end: string) => {
    if (inside === undefined) return '$'
    const [, name, , fallback] = (end && /^env:([A-Za-z_][A-Za-z0-9_]*)(:-(.*))?$/s.exec(inside)) || []
    if (name === undefined) {
      message ??= malformed(whole)
      return ''
    }
    expanded = true
    const value = Object.hasOwn(environment, name) ? environment[name] : undefined
    if (fallback !== undefined) return value || fallback
    if (value === undefined)
      message ??= `the environment variable ${name} is not set; set it, or write \${env:${name}:-…} with a default`
    return value ?? ''
  })
  return message === undefined ? { ok: true, text: result, expanded } : { ok: false, message }
}

// Only a plain name is quoted: the rest may be a default that must not appear in a log.
function malformed(whole: string): string {
  const name = /^\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]{0,60})\}$/.exec(whole)?.[1]
  if (name) return `cannot expand \${${name}}; write \${env:${name}}, or $\${${name}} for these characters themselves`
  return `cannot expand what follows "\${"; write \${env:NAME} or \${env:NAME:-default}, or $\${ for these characters themselves`
}
