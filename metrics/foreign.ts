// Families of one whole page from outside, the application's own /metrics, which has been read for this scrape. Unlike the
// series of imported.ts they are not kept: the page is replaced by the next one, and is absent if there is none.
//
// Every name that a family can write belongs to one family of the whole exposition. One of ours and one that came by OTLP
// come first; the family of the page is then left out.

import type { Rendering } from './columns.ts'
import type { Format } from './format.ts'
import type { Imported } from './imported.ts'
import type { Page } from './page.ts'

/** A family of the page. */
export interface ForeignFamily {
  /** Every name that it can write in any format, with underscores for characters outside the older set. */
  readonly names: readonly string[]
  /** Lines that it writes. */
  readonly samples: number
}

/** A page that has been read. */
export interface ForeignPage {
  readonly families: readonly ForeignFamily[]
  /**
   * Writes a family from position `from` on (0 = its head and first sample), for about a thousand lines; returns where to
   * go on, or -1 at its end.
   */
  write(page: Page, format: Format, family: number, from: number): number
}

/** The page as it is written in each format; undefined where it has not been prepared. */
export type ForeignPages = Readonly<Partial<Record<Format, ForeignPage>>>

/** The owner of the name: a family of ours, or one that came by OTLP. */
export type Clash = 'ours' | 'imported'

interface Progress {
  readonly source: ForeignPage
  /** Families to write, by their places. */
  readonly families: readonly number[]
  at: number
  from: number
}

export class Foreign implements Rendering {
  readonly name = 'foreign'
  readonly help = 'Families of the application’s own page.'
  readonly type = 'untyped'
  readonly #imported: Imported
  #pages: ForeignPages = {}
  readonly #progress = new WeakMap<Page, Progress>()

  constructor(imported: Imported) {
    this.#imported = imported
    imported.beside(this, (page, format) => this.#plan(page, format))
  }

  /** Shows these families from now on; without pages, none. */
  show(pages: ForeignPages = {}): void {
    this.#pages = pages
  }

  /** The owner of a name of this family. */
  clash({ names }: ForeignFamily): Clash | undefined {
    return this.#imported.owner(names)
  }

  write(page: Page, format: Format, from: number): number {
    const progress = this.#progress.get(page)
    if (!progress) return -1
    const { families, source } = progress
    const family = families[progress.at]
    if (family === undefined) {
      this.#progress.delete(page)
      return -1
    }
    progress.from = source.write(page, format, family, progress.from)
    if (progress.from < 0) {
      progress.at++
      progress.from = 0
    }
    return from + 1
  }

  /** prom-client's Registry asks for it; the families are only on written pages. */
  async get(): Promise<object> {
    return { name: this.name, help: this.help, type: this.type, aggregator: 'omit', values: [] }
  }

  // Planned together with the imported families: one that is removed or added between two slices of a page could otherwise
  // be on it twice.
  #plan(page: Page, format: Format): void {
    const source = this.#pages[format]
    if (!source) return
    const families = source.families.flatMap((family, place) => (this.clash(family) ? [] : [place]))
    this.#progress.set(page, { source, families, at: 0, from: 0 })
  }
}
