// The axis of time above the rows, and the meaning of the signs on them.

import { duration } from '../format.ts'
import { share, ticks, type Window } from './axis.ts'

export function Axis({ window }: { readonly window: Window }) {
  return (
    <div class="axis" aria-hidden="true">
      <span class="lane-name">span</span>
      <span class="lane-place">
        {ticks(window, 6)
          // The last one would be cut.
          .filter(time => share(window, time) < 0.95)
          .map(time => (
            <span key={time} style={{ left: `${share(window, time) * 100}%` }}>
              {duration(time / 1e6)}
            </span>
          ))}
      </span>
    </div>
  )
}

export function Legend(props: { readonly bands: boolean; readonly marks: boolean; readonly critical: boolean }) {
  return (
    <p class="legend" aria-hidden="true">
      <span>
        <i class="sample own" /> its own time
      </span>
      <span>
        <i class="sample below" /> a call runs
      </span>
      {props.critical && (
        <span>
          <i class="sample critical" /> critical path
        </span>
      )}
      {props.marks && (
        <span>
          <i class="mark event" /> event <i class="mark log" /> log line
        </span>
      )}
      {props.bands && (
        <span>
          <i class="sample band" /> why it was slow
        </span>
      )}
    </p>
  )
}
