// The list of trouble: sentences with a sign, since when, and a way to the cause.

import { useExample } from '../found.ts'
import { Badge, Card, Time } from '../parts.tsx'
import { link } from '../route.ts'
import type { Attention } from './answer.ts'

/** Sentences that are shown at once; the rest is a line. */
const FIRST = 6
const WORDS = { failed: 'failing', warning: 'look here', info: 'for information' } as const

export function AttentionList({ items }: { readonly items: readonly Attention[] }) {
  if (items.length === 0)
    return (
      <Card title="Needs attention" class="attention calm">
        <p>
          <Badge state="ok">Nothing needs attention.</Badge>
        </p>
      </Card>
    )
  return (
    <Card title="Needs attention" class={`attention ${items[0]?.level}`}>
      <ul>
        {items.slice(0, FIRST).map(item => (
          <Item key={item.text.replace(/\d+/g, '')} item={item} />
        ))}
      </ul>
      {items.length > FIRST && (
        <p class="more">
          and {items.length - FIRST} more: <a href="#/sidecar">see what the sidecar has found</a>
        </p>
      )}
    </Card>
  )
}

function Item({ item }: { readonly item: Attention }) {
  const { level, text, since, longer, query } = item
  const example = useExample(query, 'newest')
  return (
    <li>
      <Badge state={level === 'info' ? 'unknown' : level}>
        <span class="unseen">{WORDS[level]}: </span>
      </Badge>
      <span class="what">
        <bdi>{text}</bdi>
        {since !== undefined && (
          <small>
            {longer ? 'since before' : 'since'} <Time ms={since} />
          </small>
        )}
      </span>
      <span class="links">
        {example && (
          <a href={example.href}>
            newest failing trace<span class="unseen"> of {text}</span>
          </a>
        )}
        {query !== undefined && (
          <a href={link('/traces', { q: query })}>
            all its traces<span class="unseen"> of {text}</span>
          </a>
        )}
        {item.link !== undefined && (
          <a href={item.link}>
            {item.link.startsWith('#/trace/') ? 'its slowest trace' : 'show'}
            <span class="unseen"> {item.link.startsWith('#/trace/') ? `of ${text}` : text}</span>
          </a>
        )}
      </span>
    </li>
  )
}
