// Advice where there are no traces.

import { count } from '../format.ts'
import { Empty, Time } from '../parts.tsx'
import { ReceiverLines } from '../receiver.tsx'

export function StartHere(props: {
  readonly kept: number
  readonly since: number | null
  readonly searched: boolean
  readonly probes: number
}) {
  const { kept, since, searched, probes } = props
  if (kept > 0)
    return (
      <Empty title={searched ? 'No trace matches' : 'No traces to show'}>
        <p>
          {count(kept)} spans are in memory
          {since !== null && (
            <>
              {' '}
              since <Time ms={since} />
            </>
          )}
          .{probes > 0 && ` ${probes} traces of health probes are left out.`} Older ones may be in Tempo, if they are
          forwarded.
        </p>
      </Empty>
    )
  return (
    <Empty title="No spans yet">
      <p>Point the OpenTelemetry SDK of the application to this sidecar, and start it again:</p>
      <ReceiverLines />
      <p>
        <code>pillion run -- COMMAND</code> sets it by itself. Programs without an SDK get one without a change to their
        code: Node.js by <code>--require @opentelemetry/auto-instrumentations-node/register</code>, Python by{' '}
        <code>opentelemetry-instrument</code>, Java by <code>-javaagent:opentelemetry-javaagent.jar</code>.
      </p>
      <p>Or open a file with a trace: drop it onto this page.</p>
    </Empty>
  )
}
