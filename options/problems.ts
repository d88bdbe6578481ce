// What is wrong with the options, gathered so that one run names every mistake.

export interface Problem {
  /** A flag is a mistake of usage (exit 64); the file and the environment are configuration (exit 78). */
  readonly from: 'flag' | 'environment' | 'file'
  /** One line that begins with its place: "pillion.yaml:3:5: app.port: must be …". */
  readonly text: string
}

/** Nobody mends more than this at once, and a file of a megabyte could hold a hundred thousand. */
const MOST = 50

export class Problems {
  readonly #list: Problem[] = []

  get list(): readonly Problem[] {
    return this.#list
  }

  /** Whether more would not be kept, so that looking for them can stop. */
  get full(): boolean {
    return this.#list.length > MOST
  }

  add(from: Problem['from'], text: string): void {
    if (this.full) return
    const stopped = this.#list.length === MOST
    this.#list.push({ from, text: stopped ? `there are more than ${MOST} problems; mend these first` : oneLine(text) })
  }
}

/** Names from files and argument vectors reach a terminal here: no line breaks, no escape sequences, no novels. */
function oneLine(text: string): string {
  const visible = text.replaceAll(
    /[\p{Cc}\p{Zl}\p{Zp}\p{Cf}]/gu,
    c => `\\u${c.codePointAt(0)!.toString(16).padStart(4, '0')}`,
  )
  return visible.length > 500 ? `${visible.slice(0, 499)}…` : visible
}
