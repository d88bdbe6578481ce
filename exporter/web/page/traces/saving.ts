// Saves the trace that is shown, as a file in the folder for downloads.

import { DATA_ID, htmlFile } from './save.ts'
import type { Source } from './source.ts'

export async function saveJson(source: Source): Promise<void> {
  download(`trace-${source.columns.traceId}.json`, 'application/json', await source.otlp())
}

export async function saveHtml(source: Source): Promise<void> {
  const [script, style, data] = await Promise.all([ownScript(), ownStyle(), source.otlp()])
  const nonce = [...crypto.getRandomValues(new Uint8Array(16))].map(each => each.toString(16).padStart(2, '0')).join('')
  const page = htmlFile({ title: `Trace ${source.columns.traceId}`, script, style, data, nonce })
  download(`trace-${source.columns.traceId}.html`, 'text/html', page)
}

/** The trace inside this page, if it is a file that was saved so. */
export function savedTrace(): string | undefined {
  return document.getElementById(DATA_ID)?.textContent ?? undefined
}

/** The script of this page: from the sidecar, or from the file that this page is. */
async function ownScript(): Promise<string> {
  const element = document.querySelector<HTMLScriptElement>('script[type="module"]')
  if (!element) throw new Error('this page has lost its script')
  return element.src === '' ? (element.textContent ?? '') : await text(element.src)
}

async function ownStyle(): Promise<string> {
  const sheet = document.querySelector<HTMLLinkElement>('link[rel="stylesheet"][href*="page-"]')
  return sheet ? await text(sheet.href) : (document.querySelector('style')?.textContent ?? '')
}

async function text(url: string): Promise<string> {
  const answer = await fetch(url)
  if (!answer.ok) throw new Error(`the sidecar answered ${answer.status}`)
  return await answer.text()
}

function download(name: string, type: string, content: string): void {
  const url = URL.createObjectURL(new Blob([content], { type }))
  const anchor = document.createElement('a')
  anchor.href = url
  anchor.download = name
  anchor.click()
  // The browser has taken what it needs by then.
  setTimeout(() => URL.revokeObjectURL(url), 10_000)
}
