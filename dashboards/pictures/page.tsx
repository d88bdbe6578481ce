// Draws one dashboard with the components that Grafana itself is made of. Panels that Grafana keeps in plugins
// that are not on npm (tables with transformations, state timelines, heatmaps) are drawn here, with its units and colours.

import {
  createTheme,
  type DataFrame,
  type DisplayProcessor,
  dateTime,
  type Field,
  FieldColorModeId,
  FieldType,
  getDisplayProcessor,
  toDataFrame,
} from '@grafana/data'
import {
  BarGauge,
  BarGaugeDisplayMode,
  BigValue,
  type BigValueColorMode,
  BigValueGraphMode,
  BigValueTextMode,
  PanelChrome,
  ThemeContext,
  TimeSeries,
} from '@grafana/ui'
import { createRoot } from 'react-dom/client'
import type { Defaults, Override, PanelModel, Picture, Series } from './answers.ts'

declare const PICTURE: Picture

const theme = createTheme({ colors: { mode: 'dark' } })
const WIDTH = 1600
const COLUMN = WIDTH / 24
const CELL = 38
const GAP = 8

type Panel = Picture['panels'][number]
type Props = { readonly panel: Panel; readonly width: number; readonly height: number }

const range = { from: dateTime(PICTURE.from), to: dateTime(PICTURE.to), raw: { from: 'now-1h', to: 'now' } }

function display(defaults: Defaults, over: Partial<Defaults> = {}): DisplayProcessor {
  const config = { color: { mode: FieldColorModeId.Thresholds }, ...defaults, ...over }
  return getDisplayProcessor({ field: { type: FieldType.number, config } as Partial<Field>, theme })
}

/** A frame with one series, as Grafana's own panels would get it. */
function frame(panel: Panel, series: Series, index: number, color: FieldColorModeId): DataFrame {
  const { defaults, overrides } = panel.fieldConfig!
  const custom: Record<string, unknown> = { ...defaults.custom }
  const config = { ...defaults, displayName: series.legend, color: { mode: color } as object, custom }
  for (const { matcher, properties } of overrides)
    if (matcher.id === 'byRegexp' && new RegExp(matcher.options).test(series.legend))
      for (const { id, value } of properties) {
        if (id.startsWith('custom.')) custom[id.slice(7)] = value
        else Object.assign(config, { [id]: value })
      }
  const made = toDataFrame({
    refId: series.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: [...series.times] },
      { name: series.legend, type: FieldType.number, values: [...series.values], config },
    ],
  })
  made.fields[0]!.display = getDisplayProcessor({ field: made.fields[0]!, theme })
  const field = made.fields[1]!
  field.display = getDisplayProcessor({ field, theme })
  const numbers = series.values.filter(value => value !== null)
  const [min, max] = [Math.min(...numbers), Math.max(...numbers)]
  field.state = { displayName: series.legend, seriesIndex: index, range: { min, max, delta: max - min } }
  return made
}

const last = ({ values }: Series): number | null => values.findLast(value => value !== null) ?? null

function Empty({ panel, height }: Props) {
  const style = {
    height,
    display: 'flex',
    alignItems: 'center',
    justifyContent: 'center',
    color: theme.colors.text.secondary,
  }
  return <div style={style}>{panel.fieldConfig?.defaults.noValue}</div>
}

function Stat({ panel, width, height }: Props) {
  const [series] = panel.series
  const value = display(panel.fieldConfig!.defaults)(series ? last(series) : null)
  const y =
    series && series.values.length > 1 ? frame(panel, series, 0, FieldColorModeId.Thresholds).fields[1] : undefined
  return (
    <BigValue
      theme={theme}
      width={width}
      height={height}
      value={value}
      colorMode={panel.options.colorMode as BigValueColorMode}
      graphMode={y ? (panel.options.graphMode as BigValueGraphMode) : BigValueGraphMode.None}
      textMode={BigValueTextMode.Auto}
      {...(y ? { sparkline: { y, timeRange: range } } : {})}
    />
  )
}

function Lines({ panel, width, height }: Props) {
  const frames = panel.series.map((series, index) => frame(panel, series, index, FieldColorModeId.PaletteClassic))
  return (
    <TimeSeries
      width={width}
      height={height}
      frames={frames}
      timeRange={range}
      timeZone="utc"
      legend={panel.options.legend}
    />
  )
}

function Bars({ panel, width, height }: Props) {
  const { defaults } = panel.fieldConfig!
  const one = (height - GAP * (panel.series.length - 1)) / panel.series.length
  return (
    <div style={{ display: 'flex', flexDirection: 'column', gap: GAP }}>
      {panel.series.map((series, index) => (
        <BarGauge
          key={series.legend}
          theme={theme}
          width={width}
          height={one}
          field={frame(panel, series, index, FieldColorModeId.Thresholds).fields[1]!.config}
          display={display(defaults)}
          value={{ ...display(defaults)(last(series)), title: series.legend }}
          orientation={panel.options.orientation}
          displayMode={BarGaugeDisplayMode.Basic}
          text={panel.options.text}
        />
      ))}
    </div>
  )
}

function Table({ panel, height }: Props) {
  const { defaults, overrides } = panel.fieldConfig!
  const option = (name: string) => panel.transformations?.find(({ id }) => id === name)?.options
  const names = option('filterFieldsByName')?.include?.names ?? []
  const titles = option('organize')?.renameByName ?? {}
  const labels = names.filter(name => !name.startsWith('Value'))
  const columns = names.filter(name => name.startsWith('Value'))
  const refId = (column: string) => column.slice('Value #'.length) || 'A'
  const rows = Map.groupBy(panel.series, series => labels.map(label => series.labels[label] ?? '').join('\n'))
  const cell = {
    padding: '6px 10px',
    borderBottom: `1px solid ${theme.colors.border.weak}`,
    whiteSpace: 'nowrap',
  } as const
  return (
    <div style={{ height, overflow: 'hidden' }}>
      <table style={{ width: '100%', borderCollapse: 'collapse', fontSize: 13 }}>
        <thead>
          <tr>
            {names.map(name => (
              <th key={name} style={{ ...cell, textAlign: 'left', color: theme.colors.text.link, fontWeight: 500 }}>
                {titles[name]}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {sorted([...rows], panel, columns, titles).map(([key, series]) => (
            <tr key={key}>
              {labels.map(label => (
                <td key={label} style={cell}>
                  {series[0]!.labels[label] || emptied(overridden(overrides, titles[label]!))}
                </td>
              ))}
              {columns.map(column => {
                const found = series.find(each => each.refId === refId(column))
                const over = overridden(overrides, titles[column]!)
                const value = display(defaults, over)(found ? last(found) : null)
                const color = 'custom.cellOptions' in over ? value.color : theme.colors.text.primary
                return (
                  <td key={column} style={{ ...cell, color: color ?? 'inherit' }}>
                    {`${value.prefix ?? ''}${value.text}${value.suffix ?? ''}`}
                  </td>
                )
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

/** By the column that the panel says, the worst first; rows without a value last. */
function sorted(
  rows: [string, Series[]][],
  panel: Panel,
  columns: readonly string[],
  titles: Readonly<Record<string, string>>,
): [string, Series[]][] {
  const [by] = (panel.options?.sortBy ?? []) as readonly { displayName: string; desc: boolean }[]
  const column = columns.find(each => titles[each] === by?.displayName)
  if (!by || column === undefined) return rows
  const value = ([, series]: [string, Series[]]) => {
    const found = series.find(({ refId }) => refId === (column.slice('Value #'.length) || 'A'))
    return (found && last(found)) ?? (by.desc ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY)
  }
  return rows.sort((a, b) => (by.desc ? value(b) - value(a) : value(a) - value(b)))
}

/** The words for an empty text, if the column has any. */
function emptied({ mappings = [] }: Partial<Defaults>): string {
  const [found] = mappings as readonly { options: { match?: string; result?: { text?: string } } }[]
  return (found?.options.match === 'empty' && found.options.result?.text) || ''
}

function overridden(overrides: readonly Override[], title: string): Partial<Defaults> {
  const found = overrides.find(({ matcher }) => matcher.id === 'byName' && matcher.options === title)
  return Object.fromEntries((found?.properties ?? []).map(({ id, value }) => [id, value]))
}

function Timeline({ panel, width, height }: Props) {
  const show = display(panel.fieldConfig!.defaults)
  const names = 190
  const row = Math.min(34, (height - 24) / panel.series.length)
  const times = panel.series[0]?.times ?? []
  const cell = (width - names) / Math.max(1, times.length)
  return (
    <div style={{ fontSize: 12 }}>
      {panel.series.map(({ legend, values }) => (
        <div key={legend} style={{ display: 'flex', height: row, alignItems: 'center' }}>
          <div
            style={{
              width: names,
              overflow: 'hidden',
              textOverflow: 'ellipsis',
              whiteSpace: 'nowrap',
              paddingRight: 8,
            }}
          >
            {legend}
          </div>
          {values.map((value, index) => {
            const background = value === null ? 'transparent' : (show(value).color ?? 'transparent')
            return <div key={times[index]} style={{ width: cell, height: row * 0.8, background, opacity: 0.8 }} />
          })}
        </div>
      ))}
    </div>
  )
}

function Heatmap({ panel, width, height }: Props) {
  const bounds = panel.series
    .map(series => ({ ...series, bound: Number(series.labels['le']?.replace('+Inf', 'Infinity')) }))
    .sort((a, b) => a.bound - b.bound)
  const cells = bounds.map(({ values }, index) =>
    values.map((value, at) => Math.max(0, (value ?? 0) - (bounds[index - 1]?.values[at] ?? 0))),
  )
  const most = Math.max(1, ...cells.flat())
  const show = display({ unit: 's' })
  const axis = 60
  const row = height / bounds.length
  const column = (width - axis) / (bounds[0]?.values.length ?? 1)
  return (
    <svg width={width} height={height} role="img">
      <title>{panel.title}</title>
      {bounds.map(({ bound }, index) => {
        const y = height - (index + 1) * row
        const { text, suffix = '' } = show(bound)
        return (
          <g key={bound}>
            <text x={axis - 8} y={y + 4} fill={theme.colors.text.secondary} fontSize={11} textAnchor="end">
              {Number.isFinite(bound) && index % 2 === 0 ? `${text}${suffix}` : ''}
            </text>
            {cells[index]!.map((value, at) => (
              <rect
                // biome-ignore lint/suspicious/noArrayIndexKey: the place is the identity of a cell
                key={at}
                x={axis + at * column}
                y={y}
                width={Math.max(1, column - 1)}
                height={row - 1}
                fill="#ff9830"
                opacity={value === 0 ? 0 : 0.15 + 0.85 * Math.sqrt(value / most)}
              />
            ))}
          </g>
        )
      })}
    </svg>
  )
}

const KINDS: Readonly<Record<string, (props: Props) => React.JSX.Element>> = {
  stat: Stat,
  timeseries: Lines,
  bargauge: Bars,
  table: Table,
  'state-timeline': Timeline,
  heatmap: Heatmap,
}

function Placed({ panel }: { readonly panel: Panel }) {
  const { x, y, w, h } = panel.gridPos
  const style = {
    position: 'absolute',
    left: x * COLUMN,
    top: y * CELL,
    width: w * COLUMN - GAP,
    height: h * CELL - GAP,
  } as const
  if (panel.type === 'row')
    return (
      <div style={{ ...style, fontWeight: 500, fontSize: 16, paddingTop: 4 }}>
        {panel.collapsed ? '›' : '⌄'} {panel.title}{' '}
        {panel.collapsed && (
          <small style={{ color: theme.colors.text.secondary }}>({panel.panels?.length} panels)</small>
        )}
      </div>
    )
  const Kind = panel.series.length > 0 ? KINDS[panel.type]! : Empty
  return (
    <div style={style}>
      <PanelChrome title={panel.title} width={style.width} height={style.height}>
        {(width, height) => <Kind panel={panel} width={width} height={height} />}
      </PanelChrome>
    </div>
  )
}

function bottom(panels: readonly PanelModel[]): number {
  return Math.max(...panels.map(({ gridPos: { y, h } }) => y + h)) * CELL
}

// Grafana's own style sheet would do this; without it buttons, of which legends are made, are the browser's.
const style = document.createElement('style')
style.textContent = 'button { color: inherit; background: none; border: 0; font: inherit; padding: 0 }'
document.head.append(style)

const page = document.getElementById('page')!
document.body.style.cssText = `margin:0;background:${theme.colors.background.canvas};color:${theme.colors.text.primary};font-family:${theme.typography.fontFamily};font-size:14px`
page.style.cssText = `position:relative;width:${WIDTH}px;height:${bottom(PICTURE.panels) + 56}px;padding:0 8px`
createRoot(page).render(
  <ThemeContext.Provider value={theme}>
    <h1 style={{ fontSize: 20, fontWeight: 500, margin: 0, padding: '12px 0', height: 32 }}>{PICTURE.title}</h1>
    <div style={{ position: 'relative' }}>
      {PICTURE.panels.map(panel => (
        <Placed key={panel.id} panel={panel} />
      ))}
    </div>
  </ThemeContext.Provider>,
)
