// Colours that are computed: one for each service, the same in every view, and the real values of the style sheet's for
// canvases.

/** The style sheet has --hue-0 … --hue-9, each readable on both themes. */
const HUES = 10
/** Any number would do; with this one the services of the demo and of many shops get different colours. */
const START = 1614

/** Which of the colours a name has. Two names may share one, so it is never the only sign. */
export function hue(name: string): number {
  let hash = START
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193)
  return ((hash ^ (hash >>> 15)) >>> 0) % HUES
}

/** For the `style` of an element. */
export function hueOf(name: string): string {
  return `var(--hue-${hue(name)})`
}

/** A colour of the style sheet as a canvas takes it, in the theme that is shown now. */
export function painted(colour: string): string {
  probe ??= document.body.appendChild(document.createElement('i'))
  probe.hidden = true
  probe.style.color = colour
  return getComputedStyle(probe).color
}

let probe: HTMLElement | undefined
