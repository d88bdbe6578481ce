// The mistakes in the options, collected so that one run reports all of them.

export interface Problem {
  /**
   * A flag that cannot be read is a mistake of usage (exit 64). The environment, the file, and what a check finds in values
   * from anywhere are configuration (exit 78).
   */
  readonly from: 'flag' | 'environment' | 'file' | 'check'
  /** One line that begins with its place: "pillion.yaml:3:5: app.port: must be …". */
  readonly text: string
}

/** Nobody corrects more than this at once, and a file of a megabyte could contain a hundred thousand. */
const MOST = 50

export class Problems {
  readonly #list: Problem[] = []
  readonly #paths: string[] = []

  get list(): readonly Problem[] {
    return this.#list
  }

  /** Whether no more are kept, so that the search for them can stop. */
  get full(): boolean {
    return this.#list.length > MOST
  }

  /** Whether one of the problems is about this path, about something below it, or about something that contains it. */
  touch(path: string): boolean {
    return this.#paths.some(each => contains(each, path) || contains(path, each))
  }

  /** With the path, checks do not report the same option again because its value is missing. */
  add(from: Problem['from'], text: string, path?: string): void {
    if (path !== undefined) this.#paths.push(path)
    if (this.full) return
    const stopped = this.#list.length === MOST
    this.#list.push({
      from,
      text: stopped ? `there are more than ${MOST} problems; correct these first` : oneLine(text),
    })
  }
}

function contains(whole: string, part: string): boolean {
  return whole === '' || (part.startsWith(whole) && /^(?:[.[]|$)/.test(part.slice(whole.length)))
}

/** Names from files and arguments are printed on a terminal: no line breaks, no escape sequences, and a limited length. */
function oneLine(text: string): string {
  const visible = text.replaceAll(
    /[\p{Cc}\p{Zl}\p{Zp}\p{Cf}]/gu,
    c => `\\u${c.codePointAt(0)!.toString(16).padStart(4, '0')}`,
  )
  return visible.length > 500 ? `${visible.slice(0, 499)}…` : visible
}
