// The menu that saves a trace in a file.

import { useState } from 'preact/hooks'
import { saveHtml, saveJson } from './saving.ts'
import type { Source } from './source.ts'

export function Save({ source }: { readonly source: Source }) {
  const [state, set] = useState<string | undefined>(undefined)
  const run = (how: (source: Source) => Promise<void>) => async (event: Event) => {
    ;(event.currentTarget as HTMLElement).closest('details')?.removeAttribute('open')
    set(undefined)
    try {
      await how(source)
    } catch (error) {
      set(error instanceof Error ? error.message : String(error))
    }
  }
  return (
    <details class="menu">
      <summary>Save</summary>
      <div>
        <button type="button" onClick={run(saveJson)}>
          OTLP JSON <small>for other programs</small>
        </button>
        <button type="button" onClick={run(saveHtml)}>
          HTML page <small>to look at, without a sidecar</small>
        </button>
        {state !== undefined && <p role="alert">Cannot save: {state}</p>}
      </div>
    </details>
  )
}
