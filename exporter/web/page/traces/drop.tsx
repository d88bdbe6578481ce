// Files that are dropped onto the page, or chosen: traces in them are opened in this tab, and sent nowhere.

import type { ComponentChildren } from 'preact'
import { useRef, useState } from 'preact/hooks'
import { go } from '../route.ts'
import { Store, useStore } from '../store.ts'
import { MOST_BYTES, readTraces } from './files.ts'
import { opened } from './source.ts'

const MOST_TRACES = 50
const fault = new Store<string | undefined>(undefined)

async function open(file: File | undefined): Promise<void> {
  if (!file) return
  fault.set(undefined)
  try {
    if (file.size > MOST_BYTES) throw new Error(`it is larger than ${MOST_BYTES / 2 ** 20} MiB`)
    const traces = readTraces(await file.text())
    const ids = new Set(traces.map(({ columns }) => columns.traceId))
    opened.set([...traces, ...opened.value.filter(({ columns }) => !ids.has(columns.traceId))].slice(0, MOST_TRACES))
    const [first] = traces
    if (traces.length === 1) go(`/trace/${first!.columns.traceId}`, { file: 1 })
    else go('/traces')
  } catch (error) {
    fault.set(`Cannot open ${file.name}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

export function DropZone({ children }: { readonly children: ComponentChildren }) {
  const [over, set] = useState(false)
  const said = useStore(fault)
  const files = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') ?? false
  return (
    <div
      class={over ? 'drop over' : 'drop'}
      onDragOver={event => {
        if (!files(event)) return
        event.preventDefault()
        set(true)
      }}
      onDragLeave={() => set(false)}
      onDrop={event => {
        if (!files(event)) return
        event.preventDefault()
        set(false)
        void open(event.dataTransfer?.files[0])
      }}
    >
      {said !== undefined && (
        <p class="trouble" role="alert">
          <bdi>{said}</bdi>{' '}
          <button type="button" class="quiet" onClick={() => fault.set(undefined)}>
            Close
          </button>
        </p>
      )}
      {children}
    </div>
  )
}

DropZone.Button = function OpenFile() {
  const input = useRef<HTMLInputElement>(null)
  return (
    <>
      <input
        ref={input}
        type="file"
        accept=".json,.jsonl,application/json"
        hidden
        aria-label="A file with traces"
        onChange={event => {
          void open(event.currentTarget.files?.[0])
          event.currentTarget.value = ''
        }}
      />
      <button
        type="button"
        title="OTLP JSON, Tempo JSON or Jaeger JSON; it stays in this browser"
        onClick={() => input.current?.click()}
      >
        Open a file …
      </button>
    </>
  )
}
