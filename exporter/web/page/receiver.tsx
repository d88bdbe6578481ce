// Where the application sends its telemetry: the lines for its environment, with the address at which this sidecar listens.

import { Store, useStore } from './store.ts'

/** The base URL of the OTLP/HTTP receiver; 'off', and undefined until it is known. */
export const receiver = new Store<string | undefined>(undefined)

export function ReceiverLines({ more = [] }: { readonly more?: readonly string[] }) {
  const known = useStore(receiver)
  if (known === 'off')
    return (
      <p>
        The OTLP receiver of this sidecar is switched off: switch it on with <code>otlp.http.listen</code>.
      </p>
    )
  return <pre>{[`OTEL_EXPORTER_OTLP_ENDPOINT=${known ?? '…'}`, ...more].join('\n')}</pre>
}
