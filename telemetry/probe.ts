// The marks by which a span that answers one of our own health probes is recognised, and the sidecar's own spans: the prober and
// the tracer set them, and the parts that count spans look for them.
//
// Both hold a value that is random for each process. A constant could be sent by anyone who may send the application a
// request, and SDKs copy both into spans, so that any request could be hidden from all metrics.

const MARK = Buffer.from(crypto.getRandomValues(new Uint8Array(8))).toString('hex')

/** A member of the tracestate, which an SDK hands on to every span of the trace. */
export const PROBE_TRACESTATE = `pillion=${MARK}`

/** The same for the sidecar's own spans. */
export const OWN_TRACESTATE = `pillion=${MARK}.own`

/** The end of the user agent, for applications that do not hand the tracestate on. */
export const PROBE_AGENT_END = `(${MARK})`

/** The user agent of probes, "pillion-health/VERSION (MARK)". */
export function probeAgent(version: string | undefined): string {
  return `pillion-health${version === undefined ? '' : `/${version}`} ${PROBE_AGENT_END}`
}
