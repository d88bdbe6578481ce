// Where panels lead to: dashboards that have what is chosen, and traces that are asked for in words that can be read.

import t from 'tap'
import { parse as parseTraceql } from '../../traceql/parser.ts'
import { type Dashboard, dashboards, type Link, type Panel, panels } from './files.ts'

interface Place {
  readonly dashboard: Dashboard
  readonly panel: Panel
  readonly link: Link
  /** On the title of the panel, on its points, or on the cells of a column of a table. */
  readonly on: 'title' | 'points' | 'cells'
}

/** Grafana's own way from one dashboard to the next apart, every link there is. */
function places(): readonly Place[] {
  return dashboards().flatMap(dashboard =>
    panels(dashboard).flatMap(panel => {
      const cells = panel.fieldConfig!.overrides.flatMap(({ properties }) =>
        properties.flatMap(({ id, value }) => (id === 'links' ? (value as Link[]) : [])),
      )
      return [
        ...(panel.links ?? []).map(link => ({ dashboard, panel, link, on: 'title' as const })),
        ...(panel.fieldConfig?.defaults.links ?? []).map(link => ({ dashboard, panel, link, on: 'points' as const })),
        ...cells.map(link => ({ dashboard, panel, link, on: 'cells' as const })),
      ]
    }),
  )
}

const name = ({ dashboard, panel, link }: Place) => `${dashboard.uid} ${panel.title}: ${link.title}`

t.test('links lead to dashboards that have the variables they set', async t => {
  const all = new Map(dashboards().map(each => [each.uid, each]))
  const found = places().flatMap(place => {
    const [, uid, query] = /^\/d\/([a-z-]+)\?(.*)$/.exec(place.link.url) ?? []
    return uid === undefined ? [] : [{ place, target: all.get(uid), query: query! }]
  })
  t.ok(found.length > 50)
  for (const { place, target, query } of found) {
    t.ok(target, name(place))
    t.not(target?.uid, place.on === 'title' ? place.dashboard.uid : '', `${name(place)} leads elsewhere`)
    const set = [...query.matchAll(/var-(\w+)=/g), ...query.matchAll(/\$\{(\w+):queryparam\}/g)].map(
      ([, each]) => each!,
    )
    for (const each of set)
      t.ok(
        target?.templating.list.some(variable => variable.name === each),
        `${name(place)} sets ${each}`,
      )
    t.match(query, /\$\{__url_time_range\}/, `${name(place)} keeps the time shown`)
  }
})

t.test('the target of a click is there, and is encoded', async t => {
  let checked = 0
  for (const place of places()) {
    const { panel, link, on } = place
    for (const [text, kind, what = ''] of link.url.matchAll(
      /\$\{__(data\.fields|field\.labels)\["([^"]+)"\][^}]*\}/g,
    )) {
      checked += 1
      t.match(text, /:percentencode\}$/, name(place))
      if (kind === 'data.fields') {
        t.equal(on, 'cells')
        const titles = panel.transformations!.find(({ id }) => id === 'organize')!.options.renameByName!
        t.ok(Object.values(titles).includes(what), `${name(place)}: the column ${what}`)
      } else {
        t.equal(on, 'points')
        for (const { expr, legendFormat } of panel.targets!)
          t.ok(expr.includes(what) || legendFormat?.includes(`{{${what}}}`), `${name(place)}: the label ${what}`)
      }
    }
  }
  t.ok(checked > 100)
})

/** The link as Grafana fills it in; whatever is clicked is called as it would be worst. */
function filledIn(url: string, clicked: string): string {
  return url.replaceAll(/\$\{([^}"]|"[^"]*")*\}/g, text =>
    text.endsWith(':percentencode}')
      ? encodeURIComponent(clicked)
      : text.includes('datasource')
        ? 'uid-of-it'
        : '1750000000000',
  )
}

t.test('links to traces ask Explore in TraceQL, whatever an operation is called', async t => {
  const found = places().filter(({ link }) => link.url.startsWith('/explore?'))
  t.ok(found.length >= 10)
  for (const place of found) {
    t.ok(
      place.dashboard.templating.list.some(each => each.name === 'tempo_datasource' && each.type === 'datasource'),
      name(place),
    )
    const url = new URL(filledIn(place.link.url, "GET /a&b?c=%41+{}} 'd' é"), 'http://grafana.example')
    t.equal(url.searchParams.get('schemaVersion'), '1')
    const { traces } = JSON.parse(url.searchParams.get('panes')!) as {
      traces: {
        datasource: string
        range: { from: string; to: string }
        queries: { query: string; queryType: string; datasource: { type: string; uid: string } }[]
      }
    }
    t.match(traces, { datasource: 'uid-of-it', range: { from: '1750000000000', to: '1750000000000' } })
    const [query] = traces.queries
    t.match(query, { queryType: 'traceql', datasource: { type: 'tempo', uid: 'uid-of-it' } })
    t.doesNotThrow(() => parseTraceql(query!.query), query!.query)
    t.match(query!.query, "GET /a&b?c=%41+{}} 'd' é")
  }
})

t.test('every table, and every series of an instance or a service, leads on', async t => {
  const leading = new Set(places().map(({ panel }) => panel))
  const ids = new Set(places().map(({ dashboard, panel }) => `${dashboard.uid} ${panel.id}`))
  t.ok(leading.size > 0)
  for (const dashboard of dashboards())
    for (const panel of panels(dashboard)) {
      const legends = (panel.targets ?? []).map(({ legendFormat = '' }) => legendFormat)
      const all = (label: string) => legends.every(each => each.includes(`{{${label}}}`))
      const series = ['timeseries', 'state-timeline'].includes(panel.type)
      if (panel.type === 'table' || (series && (all('instance') || all('service') || all('client'))))
        t.ok(ids.has(`${dashboard.uid} ${panel.id}`), `${dashboard.uid} ${panel.title}`)
    }
})
