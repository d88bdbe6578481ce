// A small line without axes: how a number went. The number itself stands beside it, so it is for the eye alone.

export function Sparkline({
  values,
  width = 110,
  height = 26,
}: {
  readonly values: readonly number[]
  readonly width?: number
  readonly height?: number
}) {
  const most = Math.max(...values, 0)
  if (values.length < 2 || most === 0) return <svg width={width} height={height} aria-hidden="true" class="spark" />
  const x = (i: number): string => ((i / (values.length - 1)) * width).toFixed(1)
  const y = (value: number): string => (height - 2 - (value / most) * (height - 4)).toFixed(1)
  const line = values.map((value, i) => `${x(i)},${y(value)}`).join(' ')
  return (
    <svg width={width} height={height} viewBox={`0 0 ${width} ${height}`} aria-hidden="true" class="spark">
      <polygon points={`0,${height} ${line} ${width},${height}`} />
      <polyline points={line} />
    </svg>
  )
}
