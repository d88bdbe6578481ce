// A record as one HTML file that a person opens by a double click: text first, then charts and tables. It has no
// script, asks nobody, and its policy allows neither. The data for programs stand at its end.

import { Html, html } from '../web.ts'
import { chart } from './chart.ts'
import { DATA_BEGIN, DATA_END, embedded, type FlightRecord } from './record.ts'
import { column, rate } from './samples.ts'
import { bytes, instant, lastMinute, oddities, percent, summary, title } from './words.ts'

/** `data` is the record as it is embedded, which takes as long as all the rest. */
export function report(record: FlightRecord, data = embedded(record)): string {
  const { episodes, traces, logs, parts, missing, marks, back, sidecar, written } = record
  const name = title(record)
  return html`<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width">
<meta name="referrer" content="no-referrer">
<title>${name}</title>
<style>${STYLE}</style>
<main>
<h1>${name}</h1>
<p id="summary">${summary(record)}</p>
${back && html`<p id="back">Back at ${instant(back.at)} as process ${back.pid}, ${((back.at - record.at) / 1000).toFixed(0)} s later.</p>`}
${items('last-minute', 'The last minute', lastMinute(record))}
${items('noted', 'What was noted last', oddities(record))}
${items('missing', 'Not in this record', missing)}
${charts(record)}
${table(
  'Noted',
  ['Time', 'Kind', 'Text'],
  marks.toReversed().map(({ at, kind, text }) => [instant(at), kind, text]),
)}
${table(
  'Episodes of slow requests',
  ['From', 'To', 'Cause', 'What'],
  episodes.map(({ from, to, cause, sentence }) => [
    instant(from),
    to === null ? 'lasts' : instant(to),
    cause,
    sentence,
  ]),
)}
${table(
  'Traces that failed or were slow',
  ['Start', 'Milliseconds', 'Service', 'Operation', 'Spans', 'Errors', 'Trace'],
  traces.map(each => [
    instant(each.at),
    each.ms.toFixed(1),
    each.service,
    each.name,
    String(each.spans),
    String(each.errors),
    each.traceId,
  ]),
)}
${table(
  'Log records, the newest first',
  ['Time', 'Severity', 'Service', 'Text', 'Trace'],
  logs.map(({ at, severity, service, body, traceId }) => [
    at === undefined ? '' : instant(at),
    severity,
    service,
    body,
    traceId,
  ]),
)}
${table(
  'What the sidecar knew',
  ['Part', 'State', 'Numbers', 'Findings'],
  parts.map(({ name, state, facts, findings }) => [
    name,
    state,
    facts.map(fact => `${fact.name}: ${fact.value}`).join('; '),
    findings.map(({ text }) => text).join('; '),
  ]),
)}
<footer>Written at ${instant(written)} by pillion ${sidecar.version}. Times are UTC. <code>pillion flight show FILE</code> prints this as text, with --json as data.</footer>
</main>
${new Html(`${DATA_BEGIN}${data}${DATA_END}`)}
</html>
`.text
}

function items(id: string, heading: string, texts: readonly string[]): Html | undefined {
  if (texts.length === 0) return undefined
  return html`<h2>${heading}</h2><ul id="${id}">${texts.map(each => html`<li>${each}</li>`)}</ul>`
}

function table(heading: string, heads: readonly string[], rows: readonly (readonly string[])[]): Html | undefined {
  if (rows.length === 0) return undefined
  return html`<h2>${heading}</h2><table><thead><tr>${heads.map(each => html`<th>${each}</th>`)}</tr></thead><tbody>${rows.map(
    row => html`<tr>${row.map(cell => html`<td>${cell}</td>`)}</tr>
`,
  )}</tbody></table>`
}

function charts({ samples, marks }: FlightRecord): readonly Html[] {
  const { times } = samples
  const at = marks.map(each => each.at)
  const drawn = [
    chart(
      'Memory',
      times,
      [
        { name: 'limit', values: column(samples, 'memoryLimit'), look: 'limit' },
        { name: 'used', values: column(samples, 'memory'), look: 'a' },
      ],
      bytes,
      at,
    ),
    chart(
      'CPU, cores',
      times,
      [
        { name: 'used', values: rate(samples, 'allRun'), look: 'a' },
        { name: 'main thread', values: rate(samples, 'mainRun'), look: 'b' },
        { name: 'throttled', values: rate(samples, 'throttled'), look: 'c' },
      ],
      percent,
      at,
    ),
    chart('Threads', times, [{ name: 'threads', values: column(samples, 'threads'), look: 'a' }], String, at),
    chart(
      'Read and written, bytes a second',
      times,
      [
        { name: 'read', values: rate(samples, 'readBytes'), look: 'a' },
        { name: 'written', values: rate(samples, 'writtenBytes'), look: 'b' },
      ],
      bytes,
      at,
    ),
  ].filter(each => each !== undefined)
  return drawn.length === 0 ? [] : [html`<h2>Until then</h2>`, ...drawn]
}

const STYLE = new Html(
  ':root{color-scheme:light dark}body{margin:0;font:15px/1.5 system-ui,sans-serif}main{max-width:60rem;margin:auto;padding:1.5rem}' +
    'h1{font-size:1.5rem;margin:0 0 .5rem}h2{font-size:1.05rem;margin:1.6rem 0 .4rem}#summary{font-size:1.1rem}' +
    'p,li,td{overflow-wrap:anywhere}ul{margin:.3rem 0;padding-left:1.2rem}figure{margin:.6rem 0}figcaption{font-size:.85rem}' +
    '.name{font-weight:600}.name.a{color:#2a78d6}.name.b{color:#1a9e76}.name.c{color:#d0552c}svg{width:100%;height:auto;border:1px solid #8886}path{fill:none;stroke-width:1.5}.a{stroke:#2a78d6}.b{stroke:#1a9e76}' +
    '.c{stroke:#d0552c}.limit{stroke:#888;stroke-dasharray:4 3}.mark{stroke:#d0552c66}' +
    'table{border-collapse:collapse;font-size:.85rem;width:100%}th{text-align:left}th,td{padding:.15rem .6rem .15rem 0;vertical-align:top;border-bottom:1px solid #8884}' +
    'footer{margin-top:2rem;font-size:.85rem;opacity:.8}',
)
