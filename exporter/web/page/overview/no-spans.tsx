// No spans have come yet: what to do about it, with the lines for the language of the application.

import { useState } from 'preact/hooks'
import { Empty, Scroll } from '../parts.tsx'

const LANGUAGES = {
  node: {
    title: 'Node.js',
    seen: /\b(node|npm|bun|deno|tsx)\b/,
    lines:
      'npm install @opentelemetry/auto-instrumentations-node\nnode --require @opentelemetry/auto-instrumentations-node/register server.js',
  },
  python: {
    title: 'Python',
    seen: /\b(python\d?(\.\d+)?|gunicorn|uvicorn|celery|uwsgi)\b/,
    lines:
      'pip install opentelemetry-distro opentelemetry-exporter-otlp\nopentelemetry-bootstrap --action=install\nopentelemetry-instrument python app.py',
  },
  java: {
    title: 'Java',
    seen: /\b(java|kotlin|scala|gradle|mvn)\b/,
    lines: 'java -javaagent:opentelemetry-javaagent.jar -jar app.jar',
  },
  go: {
    title: 'Go',
    seen: /\bgo\b/,
    lines:
      '// go get go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp\nexporter, err := otlptracehttp.New(ctx) // reads the variables above',
  },
  dotnet: {
    title: '.NET',
    seen: /\bdotnet\b/,
    lines: 'dotnet add package OpenTelemetry.AutoInstrumentation\n. $HOME/.otel-dotnet-auto/instrument.sh\ndotnet run',
  },
  ruby: {
    title: 'Ruby',
    seen: /\b(ruby|rails|puma|rackup)\b/,
    lines:
      'bundle add opentelemetry-sdk opentelemetry-exporter-otlp opentelemetry-instrumentation-all\n# config: OpenTelemetry::SDK.configure { |c| c.use_all }',
  },
} as const

type Language = keyof typeof LANGUAGES

export function NoSpans(props: {
  readonly application: { readonly name?: string; readonly command?: string }
  readonly receiver: string | undefined
}) {
  const { application, receiver } = props
  const names = Object.keys(LANGUAGES) as Language[] // of the object above
  const guess = names.find(name => LANGUAGES[name].seen.test(application.command ?? '')) ?? 'node'
  const [chosen, choose] = useState<Language>(guess)
  if (receiver === undefined)
    return (
      <Empty title="No requests are shown">
        <p>
          The OTLP receiver is switched off, so the application cannot send spans. Switch it on with{' '}
          <code>otlp.http.listen</code>.
        </p>
      </Empty>
    )
  return (
    <Empty title="No spans yet">
      <p>
        Rate, errors, latency, operations and traces come from the spans of the application. Point its OpenTelemetry SDK
        here:
      </p>
      <label>
        Language{' '}
        <select value={chosen} onChange={event => choose(event.currentTarget.value as Language)}>
          {names.map(name => (
            <option key={name} value={name}>
              {LANGUAGES[name].title}
            </option>
          ))}
        </select>
      </label>
      <Scroll label="Lines to run" class="lines">
        <pre>
          {`export OTEL_EXPORTER_OTLP_ENDPOINT=${receiver}\nexport OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\nexport OTEL_SERVICE_NAME=${application.name ?? 'my-service'}\n${LANGUAGES[chosen].lines}`}
        </pre>
      </Scroll>
      <p>
        An application that cannot be changed can be seen from outside: <code>tap.listen</code> sees its HTTP requests
        on their way to it, and <code>files.sources[].requests</code> reads them from its access log.
      </p>
    </Empty>
  )
}
