// A question about names or services, asked once for each different one: the store numbers them.

import type { Texts } from './reading.ts'

const NO = 1
const YES = 2

interface Answers {
  readonly texts: Texts
  generation: number
  /** By the numbers of the texts. */
  known: Uint8Array
}

export class TextMemo {
  readonly #asked: (text: string) => boolean
  // The store has two sets of texts; a trace may stand in both.
  readonly #all: Answers[] = []
  #last: Answers | undefined

  constructor(asked: (text: string) => boolean) {
    this.#asked = asked
  }

  holds(texts: Texts, number: number): boolean {
    const last = this.#last
    // Fast path: a text that was asked about before.
    if (last !== undefined && last.texts === texts && last.generation === texts.generation) {
      const known = last.known[number]
      if (known === NO) return false
      if (known === YES) return true
    }
    return this.#ask(texts, number)
  }

  #ask(texts: Texts, number: number): boolean {
    let answers = this.#all.find(each => each.texts === texts)
    if (!answers) {
      answers = { texts, generation: texts.generation, known: new Uint8Array(64) }
      this.#all.push(answers)
    }
    this.#last = answers
    if (answers.generation !== texts.generation) {
      answers.generation = texts.generation
      answers.known.fill(0)
    }
    if (number >= answers.known.length) {
      const longer = new Uint8Array(2 ** Math.ceil(Math.log2(number + 1)))
      longer.set(answers.known)
      answers.known = longer
    }
    const known = answers.known[number]!
    if (known !== 0) return known === YES
    const holds = this.#asked(texts.text(number))
    answers.known[number] = holds ? YES : NO
    return holds
  }
}
