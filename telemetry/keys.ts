// The attributes that span consumers ask for. Each asks while it is being built and is told at once where the value will
// stand in every view; the walk over a request then looks for all of them in one pass.

export class Keys {
  readonly #span: string[] = []
  readonly #resource: string[] = []
  #complete = false

  /** The position of the span attribute's value in `SpanView.spanAttributes`. A key that is asked for twice has one position. */
  span(key: string): number {
    return this.#position(this.#span, key)
  }

  /** The position of the resource attribute's value in `SpanView.resourceAttributes`. */
  resource(key: string): number {
    return this.#position(this.#resource, key)
  }

  /** All keys by their positions. Afterwards no further key can be asked for: views have a fixed size. */
  complete(): { readonly span: readonly string[]; readonly resource: readonly string[] } {
    this.#complete = true
    return { span: this.#span, resource: this.#resource }
  }

  #position(keys: string[], key: string): number {
    const known = keys.indexOf(key)
    if (known >= 0) return known
    if (this.#complete)
      throw new Error(`cannot ask for the attribute ${key}: the intake is running; ask before it starts`)
    return keys.push(key) - 1
  }
}
