// Flight records: what the sidecar wrote down when the application ended, failed or nearly did. Each is a file to save.

import { useAsk } from '../ask.ts'
import { bytes } from '../format.ts'
import { Card, Scroll, Time } from '../parts.tsx'

interface FlightAnswer {
  readonly on: boolean
  readonly records: readonly {
    readonly name: string
    readonly trigger: string
    readonly bytes: number
    readonly at: number
  }[]
}

const REASONS: Readonly<Record<string, string>> = {
  gone: 'the application ended',
  both: 'it ended together with the sidecar',
  failing: 'a probe failed',
  dying: 'a resource was about to run out',
  stopping: 'the sidecar was told to stop',
  asked: 'it was asked for',
}

/** `there`: whether the part runs. */
export function FlightRecords({ there }: { readonly there: boolean }) {
  const { data } = useAsk<FlightAnswer>(there ? '/api/flight' : undefined, { every: 10_000 })
  if (!data?.on) return null
  return (
    <Card title="Flight records" aside="the last minutes before an end, as files to save">
      {data.records.length === 0 ? (
        <p class="note">None yet: nothing has ended.</p>
      ) : (
        <Scroll label="Table of the flight records">
          <table>
            <thead>
              <tr>
                <th class="text" scope="col">
                  Written
                </th>
                <th class="text" scope="col">
                  Because
                </th>
                <th class="text" scope="col">
                  File
                </th>
                <th scope="col">Size</th>
              </tr>
            </thead>
            <tbody>
              {data.records.map(({ name, trigger, bytes: size, at }) => (
                <tr key={name}>
                  <td class="text">
                    <Time ms={at} day />
                  </td>
                  <td class="text">{REASONS[trigger] ?? trigger}</td>
                  <th class="text" scope="row">
                    <a href={`/api/flight/${encodeURIComponent(name)}`} download={name}>
                      {name}
                    </a>
                  </th>
                  <td>{bytes(size)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
    </Card>
  )
}
