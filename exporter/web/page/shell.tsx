// The frame around every view: the name of the application and its state, the navigation, and the settings.

import { useEffect, useRef } from 'preact/hooks'
import { reached, useAsk } from './ask.ts'
import { Badge, Empty, type State } from './parts.tsx'
import { receiver } from './receiver.tsx'
import { useRoute } from './route.ts'
import { missed, paused, subtitle, type Theme, theme, zone } from './settings.ts'
import { useStore } from './store.ts'
import { VIEWS, type View } from './views.ts'

/** The part of /api/overview that the head shows; the overview view reads the rest of it. */
interface Head {
  readonly application: { readonly name?: string; readonly url?: string }
  readonly well: { readonly state: State; readonly text: string }
  readonly receiver?: string
}

export function Shell() {
  const route = useRoute()
  const view = VIEWS.find(({ path }) => path === route.pieces[0])
  const head = useAsk<Head>('/api/overview?head', { every: 5000, pauses: false })
  useEffect(() => {
    if (head.data) receiver.set(head.data.receiver ?? 'off')
  }, [head.data])
  const main = useRef<HTMLElement>(null)
  const name = head.data?.application.name ?? head.data?.application.url?.replace(/^https?:\/\/|\/$/g, '')
  const more = useStore(subtitle)
  useEffect(() => {
    document.title = [more, view?.title, name, 'Pillion'].filter(Boolean).join(' · ')
  }, [more, view, name])
  const first = useRef(true)
  useEffect(() => {
    if (first.current) first.current = false
    else {
      main.current?.focus({ preventScroll: true })
      scrollTo(0, 0)
    }
  }, [view?.path])
  return (
    <>
      <button type="button" class="skip" onClick={() => main.current?.focus()}>
        Skip to the content
      </button>
      <header class="top">
        <a class="brand" href="#/overview" aria-label={`${name ?? 'Pillion'}, overview`}>
          <img src="/icon.svg" alt="" width="26" height="26" />
          <bdi>{name ?? 'Pillion'}</bdi>
        </a>
        <Well head={head.data} />
        <nav aria-label="Views">
          {VIEWS.filter(({ under }) => under === undefined).map(({ path, title }) => (
            <a key={path} href={`#/${path}`} aria-current={current(view, path) ? 'page' : undefined}>
              {title}
            </a>
          ))}
        </nav>
        <Settings />
      </header>
      <main id="main" ref={main} tabIndex={-1} aria-label={view?.title ?? 'Unknown view'}>
        {view ? (
          <view.view key={view.path} route={route} />
        ) : (
          <>
            <h1>Unknown view</h1>
            <Empty title="There is no such view">
              <p>
                The address ends in <code>#{route.path}</code>, which this page does not know.{' '}
                <a href="#/overview">Go to the overview</a>
              </p>
            </Empty>
          </>
        )}
      </main>
    </>
  )
}

function current(view: View | undefined, path: string): boolean {
  return view !== undefined && (view.under ?? view.path) === path
}

function Well({ head }: { readonly head: Head | undefined }) {
  const answered = useStore(reached)
  if (answered === 'no')
    return (
      <span class="well" role="status">
        <Badge state="failed">The sidecar does not answer</Badge>
      </span>
    )
  if (!head) return <span class="well" />
  return (
    <span class="well" role="status">
      <Badge state={head.well.state}>
        <bdi>{head.well.text}</bdi>
      </Badge>
    </span>
  )
}

const THEMES: readonly (readonly [Theme, string])[] = [
  ['system', 'Colours of the system'],
  ['light', 'Light'],
  ['dark', 'Dark'],
]

function Settings() {
  const stopped = useStore(paused)
  const behind = useStore(missed)
  const chosen = useStore(theme)
  const shown = useStore(zone)
  return (
    <div class="settings">
      <button
        type="button"
        class={stopped ? 'pause on' : 'pause'}
        aria-pressed={stopped}
        onClick={() => paused.set(!stopped)}
      >
        <span aria-hidden="true">{stopped ? '▶' : '❚❚'}</span> {stopped ? 'Paused' : 'Pause'}
        {behind !== undefined && <span class="behind">, {behind}</span>}
      </button>
      <button
        type="button"
        aria-label={`Times are ${shown === 'utc' ? 'in UTC' : 'local'}; change that`}
        onClick={() => zone.set(shown === 'utc' ? 'local' : 'utc')}
      >
        {shown === 'utc' ? 'UTC' : 'Local'}
      </button>
      <label class="theme">
        <span class="unseen">Colours</span>
        <select value={chosen} onChange={event => theme.set(event.currentTarget.value as Theme)}>
          {THEMES.map(([value, text]) => (
            <option key={value} value={value}>
              {value === 'system' ? 'Auto' : text}
            </option>
          ))}
        </select>
      </label>
    </div>
  )
}
