// Parts that several views share: cards, states, times, empty places, answers that did not come.

import type { ComponentChildren } from 'preact'
import { type Answer, Refused } from './ask.ts'
import { hueOf } from './colour.ts'
import { clockTime, dayTime } from './format.ts'
import { zone } from './settings.ts'
import { useStore } from './store.ts'

/** A section with a heading; `aside` stands at the end of its first line. */
export function Card(props: {
  readonly title: string
  readonly aside?: ComponentChildren
  readonly class?: string
  readonly children: ComponentChildren
}) {
  return (
    <section class={`card ${props.class ?? ''}`} aria-label={props.title}>
      <header class="card-head">
        <h2>{props.title}</h2>
        {props.aside !== undefined && props.aside !== false && <div class="aside">{props.aside}</div>}
      </header>
      {props.children}
    </section>
  )
}

export type State = 'ok' | 'warning' | 'failed' | 'unknown'

const SIGNS: Readonly<Record<State, string>> = { ok: '✓', warning: '!', failed: '✕', unknown: '–' }

/** A state as a sign, a colour and a word: never by colour alone. */
export function Badge({ state, children }: { readonly state: State; readonly children: ComponentChildren }) {
  return (
    <span class={`badge ${state}`}>
      <i aria-hidden="true">{SIGNS[state]}</i>
      {children}
    </span>
  )
}

/** A time of day, with the day in both zones when it is pointed at. */
export function Time(props: { readonly ms: number; readonly day?: boolean; readonly millis?: boolean }) {
  const shown = useStore(zone)
  const { ms, day = false, millis = false } = props
  const both = `${dayTime(ms, 'local', true)} local\n${dayTime(ms, 'utc', true)} UTC`
  const valid = Number.isFinite(ms) && Math.abs(ms) < 8.64e15
  return (
    <time {...(valid && { dateTime: new Date(ms).toISOString() })} title={both}>
      {(day ? dayTime : clockTime)(ms, shown, millis)}
    </time>
  )
}

/** The name of a service, with its colour beside it. */
export function Service({ name }: { readonly name: string }) {
  return (
    <span class="service">
      <i style={{ '--key': hueOf(name) }} aria-hidden="true" />
      <bdi>{name === '' ? '(no name)' : name}</bdi>
    </span>
  )
}

/** A place where nothing is, and what to do about it. */
export function Empty({ title, children }: { readonly title: string; readonly children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children}
    </div>
  )
}

/** The notice while there is no answer, or when the newest one did not come; nothing when all is well. */
export function Trouble({ answer, what }: { readonly answer: Answer<unknown>; readonly what: string }) {
  const { error, data } = answer
  if (!error)
    return data === undefined ? (
      <p class="waiting" role="status">
        Asking for {what} …
      </p>
    ) : null
  const text = error instanceof Refused ? error.message : 'The sidecar does not answer. This page goes on asking.'
  return (
    <p class="trouble" role="alert">
      <Badge state="failed">Cannot show {what}</Badge> <bdi>{text}</bdi>{' '}
      <button type="button" class="quiet" onClick={answer.again}>
        Ask again
      </button>
    </p>
  )
}

/** Name and value, one below the other: the large figures of a card. */
export function Figure(props: {
  readonly name: string
  readonly value: ComponentChildren
  readonly note?: ComponentChildren
  readonly state?: State
}) {
  return (
    <div class={`figure ${props.state ?? ''}`}>
      <dt>{props.name}</dt>
      <dd>
        {props.value}
        {props.note !== undefined && props.note !== false && <small>{props.note}</small>}
      </dd>
    </div>
  )
}

/** A frame around something that may be larger: it is scrolled there, by the keyboard too, and the page never is sideways. */
export function Scroll(props: {
  /** A name for those who cannot see what it frames. */
  readonly label: string
  readonly class?: string
  readonly children: ComponentChildren
}) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: without it, the keyboard cannot scroll it in every browser
    <section class={props.class ?? 'table'} aria-label={props.label} tabIndex={0}>
      {props.children}
    </section>
  )
}
