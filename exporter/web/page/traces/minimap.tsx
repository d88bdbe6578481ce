// The whole trace in a few lines: every span as a thin bar on one canvas, and the window that the waterfall shows.
// Dragging over it chooses a window.

import { useEffect, useRef } from 'preact/hooks'
import type { TraceColumns } from '../../../../telemetry/trace-columns.ts'
import { hueOf, painted } from '../colour.ts'
import { theme } from '../settings.ts'
import { useStore } from '../store.ts'
import { share, type Window, windowOf } from './axis.ts'
import type { Tree } from './tree.ts'

const HEIGHT = 56

interface Props {
  readonly columns: TraceColumns
  readonly tree: Tree
  readonly window: Window
  readonly matches: Uint8Array | undefined
  choose(window: Window | undefined): void
}

export function MiniMap({ columns, tree, window, matches, choose }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const began = useRef<number | undefined>(undefined)
  const chosenTheme = useStore(theme)
  useEffect(() => {
    const element = canvas.current
    if (!element) return
    let frame = 0
    let timer: ReturnType<typeof setTimeout> | undefined
    const cancel = (): void => {
      cancelAnimationFrame(frame)
      clearTimeout(timer)
    }
    // After the frame with the rows, which are what a person waits for.
    const later = (): void => {
      cancel()
      frame = requestAnimationFrame(() => {
        timer = setTimeout(() => draw(element, columns, tree, matches))
      })
    }
    later()
    const sizes = new ResizeObserver(later)
    sizes.observe(element)
    const media = matchMedia('(prefers-color-scheme: dark)')
    media.addEventListener('change', later)
    return () => {
      cancel()
      sizes.disconnect()
      media.removeEventListener('change', later)
    }
  }, [columns, tree, matches, chosenTheme])

  const timeAt = (event: PointerEvent): number => {
    const { left, width } = (event.currentTarget as HTMLElement).getBoundingClientRect()
    return Math.max(0, Math.min(1, (event.clientX - left) / width)) * tree.end
  }
  const whole = { from: 0, to: Math.max(tree.end, 0.1) }
  const [left, right] = [share(whole, window.from), share(whole, window.to)]
  return (
    <div
      class="minimap"
      style={{ height: `${HEIGHT}px` }}
      onPointerDown={event => {
        event.currentTarget.setPointerCapture(event.pointerId)
        began.current = timeAt(event)
      }}
      onPointerMove={event => {
        if (began.current === undefined || event.buttons === 0) return
        const to = timeAt(event)
        if (Math.abs(to - began.current) > tree.end / 200) choose(windowOf(began.current, to, tree.end))
      }}
      onPointerUp={() => {
        began.current = undefined
      }}
      onDblClick={() => choose(undefined)}
    >
      <canvas ref={canvas} height={HEIGHT} role="img" aria-label="All spans of the trace in small" />
      <i class="veil" style={{ left: 0, width: `${left * 100}%` }} />
      <i class="veil" style={{ left: `${right * 100}%`, right: 0 }} />
    </div>
  )
}

/** Pixel by pixel: ten thousand rectangles would take as long as a frame. */
function draw(canvas: HTMLCanvasElement, columns: TraceColumns, tree: Tree, matches: Uint8Array | undefined): void {
  const ratio = devicePixelRatio || 1
  const width = Math.max(1, Math.round(canvas.clientWidth * ratio))
  const height = Math.round(HEIGHT * ratio)
  canvas.width = width
  canvas.height = height
  const context = canvas.getContext('2d')
  if (!context || tree.nodes === 0) return
  const image = context.createImageData(width, height)
  const pixels = new Uint32Array(image.data.buffer)
  const across = width / Math.max(tree.end, 0.1)
  const down = height / tree.nodes
  const thick = Math.max(1, Math.floor(Math.min(down * 0.8, 3 * ratio)))
  const bright = columns.services.map(service => pixelOf(painted(hueOf(service)), 0xd8))
  const dimmed = columns.services.map(service => pixelOf(painted(hueOf(service)), 0x28))
  const failed = pixelOf(painted('var(--failed)'), 0xff)
  const fill = (x: number, y: number, wide: number, high: number, colour: number): void => {
    const to = Math.min(width, Math.max(x + 1, x + wide))
    for (let line = Math.max(0, y); line < Math.min(height, y + high); line++)
      pixels.fill(colour, line * width + Math.max(0, x), line * width + to)
  }
  const drawSpan = (span: number, colours: readonly number[]): void => {
    const [x, y] = [Math.floor(tree.start[span]! * across), Math.floor(tree.position[span]! * down)]
    fill(x, y, Math.round(tree.duration[span]! * across), thick, colours[columns.service[span]!]!)
  }
  if (matches) for (let span = 0; span < tree.spans; span++) if (matches[span] === 0) drawSpan(span, dimmed)
  for (let span = 0; span < tree.spans; span++) if (!matches || matches[span] === 1) drawSpan(span, bright)
  const dot = Math.round(3 * ratio)
  for (let span = 0; span < tree.spans; span++)
    if (columns.status[span] === 2)
      fill(Math.floor(tree.start[span]! * across) - 1, Math.floor(tree.position[span]! * down) - 1, dot, dot, failed)
  context.putImageData(image, 0, 0)
}

/** "rgb(1, 2, 3)" as the four bytes of a pixel. */
function pixelOf(colour: string, alpha: number): number {
  const [red = 0, green = 0, blue = 0] = (colour.match(/\d+/g) ?? []).map(Number)
  return ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0
}
