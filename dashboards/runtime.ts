// The application's own metrics: its HTTP server as its SDK measures it, and its runtime. All of it is metrics that it
// sends over OTLP or shows on its own /metrics, so that a dashboard without a runtime's metrics says which are missing.

import { type Board, EVENTS } from './board.ts'
import { goRow } from './runtime/go.ts'
import { clientRow, httpRow } from './runtime/http.ts'
import { jvmRow } from './runtime/jvm.ts'
import { nodeRow } from './runtime/node.ts'
import { pythonRow } from './runtime/python.ts'

export const runtime: Board = {
  uid: 'pillion-runtime',
  title: 'Pillion / Runtime',
  about:
    'What the application measures itself and sends over OTLP or shows on /metrics: HTTP requests, calls, and its runtime: Node.js, JVM, Python, Go.',
  annotations: EVENTS,
  rows: [httpRow, clientRow, nodeRow, jvmRow, pythonRow, goRow],
}
