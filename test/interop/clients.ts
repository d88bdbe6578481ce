// The stock SDKs of four languages as programs that send what they are told to.

import { missing } from '../e2e/programs.ts'
import { classPath, go, oldGo, python, source } from './programs.ts'

/** The items that each client sends in each run: spans, data points, log records. */
export const SENT = { traces: 600, metrics: 5, logs: 300 } as const

export interface Client {
  readonly language: string
  readonly skip: string | false
  readonly protocols: readonly string[]
  /** Prepares the client and returns the command that runs it. */
  install(): Promise<readonly [command: string, ...args: string[]]>
}

export const CLIENTS: readonly Client[] = [
  {
    language: 'node',
    skip: false,
    protocols: ['http/protobuf', 'http/json', 'grpc'],
    install: async () => [process.execPath, source('node/client.ts')],
  },
  {
    language: 'python',
    skip: missing('python3', 'python3-venv'),
    protocols: ['http/protobuf', 'grpc'],
    install: async () => [await python(), source('python/client.py')],
  },
  {
    language: 'go',
    skip: missing('go', 'golang-go') || oldGo(),
    protocols: ['http/protobuf', 'grpc'],
    install: async () => [await go('client')],
  },
  {
    language: 'java',
    skip: missing('java', 'default-jdk-headless') || missing('mvn', 'maven'),
    protocols: ['http/protobuf', 'grpc'],
    install: async () => ['java', '-cp', await classPath(), source('java/Client.java')],
  },
]
