// The document at /. Its scripts (page/) show the whole page. Where they are switched off, it says what rides here,
// with what, and what it found, and looks again by itself.

import type { Fact, LedgerRow, PartStatus, Status } from '../../telemetry/status.ts'
import type { Dashboard } from './host.ts'
import { type Html, html } from './html.ts'

const REFRESH_SECONDS = 10

/** `files`: the names of the script and the style sheet of the page; undefined where there are none. */
export function page(status: Status, files?: { readonly script: string; readonly style: string }): string {
  const { application } = status
  const title = application.name ?? application.url
  const plain = html`<meta http-equiv="refresh" content="${REFRESH_SECONDS}">
<link rel="stylesheet" href="/style.css">`
  const body = still(status, title)
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title === undefined ? 'Pillion' : `${title} · Pillion`}</title>
<link rel="icon" href="/icon.svg">
${
  files
    ? html`<link rel="stylesheet" href="/${files.style}">
<script type="module" src="/${files.script}"></script>
<noscript>${plain}</noscript>`
    : plain
}
</head>
${
  files
    ? html`<body>
<div id="page"></div>
<noscript>${body}</noscript>`
    : html`<body>${body}`
}
</body>
</html>
`.text
}

/** The page without scripts. */
function still({ application, parts, ledger, ...status }: Status, title: string | undefined): Html {
  return html`<header>
<img src="/icon.svg" alt="" width="36" height="36">
<div><h1>${title ?? 'No application yet'}</h1>
<p>Pillion ${status.version} · up ${duration(status.uptimeSeconds)}</p></div>
<nav><a href="/metrics">Metrics</a> <a href="/api/status">Status as JSON</a> <a href="/dashboards/">Dashboards</a> <a href="/-/ready">Ready?</a></nav>
</header>
<main>
${facts(application)}
<section class="parts">${parts.map(card)}</section>
${ledger.length === 0 ? undefined : table(ledger)}
</main>`
}

function facts({ command, url, pid, port }: Status['application']): Html {
  const known: [string, string | number | undefined][] = [
    ['command', command],
    ['address', url],
    ['process', pid],
    ['port', port],
  ]
  const rows = known
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => html`<div><dt>${name}</dt><dd><bdi>${value}</bdi></dd></div>`)
  return rows.length === 0
    ? html`<p class="none">Nothing is known of the application. Name it with --app.url http://127.0.0.1:PORT, or start it with pillion run -- COMMAND.</p>`
    : html`<dl class="application">${rows}</dl>`
}

/** The page at /dashboards/: what to import into Grafana. */
export function dashboardList(dashboards: readonly Dashboard[]): string {
  const rows = dashboards.map(
    ({ file, title, about }) =>
      html`<article class="ok"><h2><a href="/dashboards/${encodeURIComponent(file)}">${title}</a></h2><p>${about}</p></article>`,
  )
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Dashboards · Pillion</title>
<link rel="stylesheet" href="/style.css">
<link rel="icon" href="/icon.svg">
</head>
<body>
<header>
<img src="/icon.svg" alt="" width="36" height="36">
<div><h1>Dashboards</h1><p>Import these files into Grafana, or write them into a folder with pillion dashboards --out DIR.</p></div>
<nav><a href="/">Back</a></nav>
</header>
<main><section class="parts">${rows}</section></main>
</body>
</html>
`.text
}

const STATES = { ok: 'fine', warning: 'look here', failed: 'failed' } as const

function card({ name, state, facts, findings }: PartStatus): Html {
  return html`<article class="${state}">
<h2>${name} <span>${STATES[state]}</span></h2>
${facts.length === 0 ? undefined : html`<dl>${facts.map(fact => html`<div><dt>${fact.name}</dt><dd><bdi>${shown(fact)}</bdi></dd></div>`)}</dl>`}
${findings.length === 0 ? undefined : html`<ul>${findings.map(({ level, text }) => html`<li class="${level}"><bdi>${text}</bdi></li>`)}</ul>`}
</article>
`
}

/** A number with its unit as people write it. */
export function shown(fact: Fact): string {
  if (typeof fact.value === 'string') return fact.value
  const { value } = fact
  switch ('unit' in fact ? fact.unit : undefined) {
    case 'bytes':
      return size(value)
    case 'seconds':
      return value < 60 ? `${Number(value.toPrecision(3))} s` : duration(value)
    case 'ratio':
      return `${Number((value * 100).toPrecision(3))} %`
    case 'cores':
      return `${Number(value.toPrecision(3))} cores`
    case undefined:
      return grouped(value)
  }
}

function size(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const power = bytes < 1024 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1)
  const value = bytes / 1024 ** power
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toPrecision(3)} ${units[power]}`
}

function table(ledger: readonly LedgerRow[]): Html {
  return html`<section><h2>Received over OTLP</h2>
<div class="table"><table><thead><tr><th>signal</th><th>received</th><th>accepted</th><th>refused</th></tr></thead>
<tbody>${ledger.map(
    ({ signal, received, accepted, refused }) =>
      html`<tr><th>${signal}</th><td>${grouped(received)}</td><td>${grouped(accepted)}</td><td>${reasons(refused)}</td></tr>`,
  )}</tbody></table></div></section>`
}

function reasons(refused: LedgerRow['refused']): string {
  const named = Object.entries(refused).filter(([, count]) => count > 0)
  return named.length === 0 ? '0' : named.map(([reason, count]) => `${grouped(count)} ${reason}`).join(', ')
}

function grouped(count: number): string {
  return count.toLocaleString('en-US')
}

/** "3 d 4 h", "12 min": the two largest units say enough. */
export function duration(seconds: number): string {
  const units: [string, number][] = [
    ['d', 86_400],
    ['h', 3600],
    ['min', 60],
    ['s', 1],
  ]
  const first = units.findIndex(([, size]) => seconds >= size)
  if (first === -1) return 'less than a second'
  let left = Math.floor(seconds)
  return units
    .slice(first, first + 2)
    .map(([unit, size]) => {
      const count = Math.floor(left / size)
      left -= count * size
      return count === 0 ? '' : `${count} ${unit}`
    })
    .filter(Boolean)
    .join(' ')
}
