// Writes the answers of one turn of the event loop together, after all that could be read has been read: a client is woken once
// for several answers, and what it sends next is read together too.

interface Writer {
  flush(): void
}

export class Turn {
  #waiting: Writer[] = []
  readonly #flush = (): void => {
    const waiting = this.#waiting
    this.#waiting = []
    for (const each of waiting) each.flush()
  }

  add(writer: Writer): void {
    if (this.#waiting.push(writer) === 1) setImmediate(this.#flush)
  }
}
