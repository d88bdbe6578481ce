// The search: filters in plain sight, a form, and the query of TraceQL that they make, which can be written by hand.

import { useEffect, useRef, useState } from 'preact/hooks'
import { ask } from '../ask.ts'
import { change } from '../route.ts'
import { type Completion, completed, completion, EMPTY, type Form, formOf, placeOf, queryOf, spelled } from './form.ts'
import type { Listed } from './list.tsx'

interface Props {
  readonly q: string
  readonly probes: boolean
  /** Traces of probes that were left out. */
  readonly left: number
  readonly traces: readonly Listed[]
  /** The sidecar's complaint about the query. */
  readonly wrong: string | undefined
}

/** Traces from this share of those in the list on are the slow ones. */
const SLOW = 0.9

export function Search({ q, probes, left, traces, wrong }: Props) {
  const form = formOf(q)
  const services = [...new Set(traces.flatMap(each => each.services.map(({ name }) => name)))].sort()
  const names = [...new Set(traces.flatMap(({ name }) => name ?? []))].sort()
  const set = (part: Partial<Form>, replace = false): void =>
    change({ q: queryOf({ ...(form ?? EMPTY), ...part }), limit: undefined }, { replace })
  const slow = slowest(traces)
  return (
    <search class="card search" aria-label="Search for traces">
      <div class="chips">
        <button
          type="button"
          aria-pressed={form?.errors ?? false}
          disabled={!form}
          onClick={() => set({ errors: !form?.errors })}
        >
          Errors
        </button>
        <button
          type="button"
          aria-pressed={(form?.min ?? '') !== ''}
          disabled={!form || (form.min === '' && slow === undefined)}
          onClick={() => set({ min: form?.min === '' && slow !== undefined ? slow : '' })}
        >
          {form && form.min !== ''
            ? `Slow: from ${form.min} on`
            : slow === undefined
              ? 'Slow'
              : `Slow: from ${slow} on`}
        </button>
        <button type="button" aria-pressed={probes} onClick={() => change({ probes: probes ? undefined : 'include' })}>
          Health probes {!probes && left > 0 && <small>{left} left out</small>}
        </button>
        {q !== '' && (
          <button type="button" class="quiet" onClick={() => change({ q: undefined, limit: undefined })}>
            Clear
          </button>
        )}
      </div>
      <fieldset class="form" disabled={!form}>
        <legend class="unseen">Search form</legend>
        <Field label="Service" value={form?.service ?? ''} list={services} set={service => set({ service }, true)} />
        <Field label="Operation" value={form?.name ?? ''} list={names} set={name => set({ name }, true)} />
        <Field label="Attributes" hint="key=value" value={form?.tags ?? ''} set={tags => set({ tags }, true)} wide />
        <Field label="Lasts at least" hint="100ms" value={form?.min ?? ''} set={min => set({ min }, true)} />
        <Field label="At most" hint="2s" value={form?.max ?? ''} set={max => set({ max }, true)} />
      </fieldset>
      {!form && <p class="hint">This query says more than the form can show. Clear it to use the form.</p>}
      <QueryField q={q} wrong={wrong} />
    </search>
  )
}

/** The duration from which on a trace of the list is slow, as TraceQL spells it; undefined for too short a list. */
function slowest(traces: readonly Listed[]): string | undefined {
  if (traces.length < 8) return undefined
  const sorted = traces.map(each => each.duration).sort((a, b) => a - b)
  const ms = sorted[Math.floor(sorted.length * SLOW)]!
  if (ms <= 0) return undefined
  const digits = (value: number): string => String(Number(value.toPrecision(2)))
  return ms >= 1000 ? `${digits(ms / 1000)}s` : ms >= 1 ? `${digits(ms)}ms` : `${digits(ms * 1000)}us`
}

function Field(props: {
  readonly label: string
  readonly value: string
  readonly hint?: string
  readonly list?: readonly string[]
  readonly wide?: boolean
  set(value: string): void
}) {
  const { label, value, hint, list, wide, set } = props
  const [typed, type] = useState(value)
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined)
  useEffect(() => type(value), [value])
  useEffect(() => () => clearTimeout(timer.current), [])
  const id = `of-${label.toLowerCase().replaceAll(' ', '-')}`
  return (
    <label class={wide ? 'double' : ''}>
      <span>{label}</span>
      <input
        type="text"
        value={typed}
        placeholder={hint}
        spellcheck={false}
        autocomplete="off"
        {...(list && { list: id })}
        onInput={event => {
          const next = event.currentTarget.value
          type(next)
          clearTimeout(timer.current)
          timer.current = setTimeout(() => set(next), 400)
        }}
        onKeyDown={event => {
          if (event.key !== 'Enter') return
          clearTimeout(timer.current)
          set(typed)
        }}
      />
      {list && (
        <datalist id={id}>
          {list.map(each => (
            <option key={each} value={each} />
          ))}
        </datalist>
      )}
    </label>
  )
}

interface Choice {
  readonly text: string
  readonly shown: string
}

const MOST_CHOICES = 12
const INTRINSICS = [
  'name',
  'status',
  'kind',
  'duration',
  'traceDuration',
  'rootName',
  'rootServiceName',
  'statusMessage',
]

/** The query itself, with suggestions and the place of a mistake. */
function QueryField({ q, wrong }: { readonly q: string; readonly wrong: string | undefined }) {
  const [text, write] = useState(oneLine(q))
  const [at, complete] = useState<Completion | undefined>(undefined)
  const [choices, offer] = useState<readonly Choice[]>([])
  const [chosen, choose] = useState(-1)
  const field = useRef<HTMLInputElement>(null)
  useEffect(() => write(oneLine(q)), [q])
  useEffect(() => {
    if (!at) {
      offer([])
      return
    }
    const over = new AbortController()
    const timer = setTimeout(
      () =>
        choicesFor(at, over.signal).then(
          found => {
            offer(found)
            choose(-1)
          },
          () => offer([]),
        ),
      120,
    )
    return () => {
      clearTimeout(timer)
      over.abort()
    }
  }, [at?.kind, at?.tag, at?.prefix])
  const run = (query: string): void => {
    complete(undefined)
    change({ q: query.trim(), limit: undefined })
  }
  const take = (choice: Choice): void => {
    if (!at) return
    const next = completed(text, at, choice.text)
    write(next.query)
    complete(at.kind === 'tags' ? completion(next.query, next.cursor) : undefined)
    const element = field.current
    if (!element) return
    element.focus()
    // The new text is there after the rendering.
    requestAnimationFrame(() => element.setSelectionRange(next.cursor, next.cursor))
  }
  const open = at !== undefined && choices.length > 0
  const place = wrong === undefined || text.trim() !== oneLine(q) ? undefined : placeOf(wrong)
  return (
    <div class="query">
      <label>
        <span>TraceQL</span>
        <input
          ref={field}
          type="text"
          value={text}
          placeholder='{ resource.service.name = "shop" && status = error }'
          spellcheck={false}
          autocomplete="off"
          role="combobox"
          aria-expanded={open}
          aria-controls="choices"
          aria-autocomplete="list"
          aria-invalid={wrong !== undefined && text.trim() === oneLine(q)}
          {...(wrong !== undefined && { 'aria-describedby': 'query-wrong' })}
          {...(open && chosen >= 0 && { 'aria-activedescendant': `choice-${chosen}` })}
          onInput={event => {
            const { value, selectionStart } = event.currentTarget
            write(value)
            complete(completion(value, selectionStart ?? value.length))
          }}
          onClick={event => {
            const { value, selectionStart } = event.currentTarget
            complete(completion(value, selectionStart ?? value.length))
          }}
          onBlur={() => setTimeout(() => complete(undefined), 150)}
          onKeyDown={event => {
            if (open && (event.key === 'ArrowDown' || event.key === 'ArrowUp')) {
              event.preventDefault()
              choose((chosen + (event.key === 'ArrowDown' ? 1 : choices.length)) % choices.length)
            } else if (open && (event.key === 'Tab' || event.key === 'Enter') && chosen >= 0) {
              event.preventDefault()
              take(choices[chosen]!)
            } else if (event.key === 'Escape') complete(undefined)
            else if (event.key === 'Enter') {
              event.preventDefault()
              run(text)
            }
          }}
        />
      </label>
      <ul id="choices" role="listbox" aria-label="Suggestions" hidden={!open}>
        {choices.map((choice, i) => (
          <li
            key={choice.text}
            id={`choice-${i}`}
            role="option"
            aria-selected={i === chosen}
            onMouseDown={event => {
              event.preventDefault()
              take(choice)
            }}
          >
            <bdi>{choice.shown}</bdi>
          </li>
        ))}
      </ul>
      <button type="button" onClick={() => run(text)}>
        Search
      </button>
      {wrong !== undefined && (
        <div id="query-wrong" class="wrong" role="alert">
          {place ? (
            <>
              <pre aria-hidden="true">
                {(q.split('\n')[place.line - 1] ?? '').slice(0, 500)}
                {'\n'}
                {' '.repeat(Math.min(500, place.column - 1))}^
              </pre>
              <bdi>
                {place.reason}{' '}
                <small>
                  (line {place.line}, column {place.column})
                </small>
              </bdi>
            </>
          ) : (
            <bdi>{wrong}</bdi>
          )}
        </div>
      )}
    </div>
  )
}

function oneLine(query: string): string {
  return query.trim().replace(/\s*\n\s*/g, ' ')
}

async function choicesFor({ kind, tag, prefix }: Completion, signal: AbortSignal): Promise<Choice[]> {
  if (kind === 'tags') {
    const { scopes } = await ask<{ scopes: readonly { name: string; tags: readonly string[] }[] }>(
      '/tempo/api/v2/search/tags',
      signal,
    )
    const tags = scopes.flatMap(({ name, tags }) =>
      name === 'intrinsic' ? [] : tags.map(each => `${name}.${spelledKey(each)}`),
    )
    const wanted = prefix.toLowerCase().replace(/^\./, '')
    return ranked([...INTRINSICS, ...tags], wanted).map(text => ({ text, shown: text }))
  }
  const { tagValues } = await ask<{ tagValues: readonly { type: string; value: string }[] }>(
    `/tempo/api/v2/search/tag/${encodeURIComponent(tag)}/values?${new URLSearchParams({ tag: encodeURIComponent(tag), limit: '500' })}`,
    signal,
  )
  const wanted = prefix.toLowerCase().replace(/^"/, '')
  const byText = new Map(tagValues.map(({ type, value }) => [value, spelled(type, value)]))
  return ranked([...byText.keys()], wanted).map(value => ({ text: byText.get(value)!, shown: value }))
}

function spelledKey(key: string): string {
  return /^[A-Za-z_][\w.\-/]*$/.test(key) ? key : JSON.stringify(key)
}

/** Those that begin with it, then those that have it somewhere. */
function ranked(all: readonly string[], wanted: string): string[] {
  const rank = (each: string): number => {
    const at = each.toLowerCase().indexOf(wanted)
    return at < 0 ? 9 : at === 0 || each[at - 1] === '.' ? 0 : 1
  }
  return all
    .map(each => [rank(each), each] as const)
    .filter(([at]) => at < 9)
    .sort(([a], [b]) => a - b)
    .slice(0, MOST_CHOICES)
    .map(([, each]) => each)
}
