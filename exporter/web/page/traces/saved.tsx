// The page of a trace that was saved as a file: it asks nobody for anything.

import { useMemo } from 'preact/hooks'
import { Empty } from '../parts.tsx'
import { useRoute } from '../route.ts'
import { readTraces } from './files.ts'
import { localSource, type Source } from './source.ts'
import { Waterfall } from './waterfall.tsx'

export function SavedPage({ data }: { readonly data: string }) {
  const route = useRoute()
  const source = useMemo<Source | string>(() => {
    try {
      return localSource(readTraces(data)[0]!)
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  }, [data])
  return (
    <main>
      {typeof source === 'string' ? (
        <Empty title="This file cannot be shown">
          <p>{source}</p>
        </Empty>
      ) : (
        <Waterfall source={source} route={route} />
      )}
    </main>
  )
}
