// The connections of ordinary requests over HTTP/1.1. It never listens itself.

import type { Socket } from 'node:net'
import type { Clock } from '../../../telemetry/host.ts'
import { Connections } from '../connections.ts'
import type { OtlpIntake } from '../intake.ts'
import type { Ledger } from '../ledger.ts'
import type { Memory } from '../listener.ts'
import type { Place } from '../places.ts'
import { Turn } from '../turn.ts'
import { Answers } from './answers.ts'
import { type Around, Connection } from './connection.ts'

export class Http1Server implements Around {
  draining = false
  readonly options: Around['options']
  readonly intake: OtlpIntake
  readonly memory: Memory
  readonly ledger: Ledger
  readonly clock: Clock
  readonly answers: Answers
  readonly turn = new Turn()
  readonly handOver: Around['handOver']
  readonly #open: Connections<Connection>

  constructor(
    options: Around['options'],
    intake: OtlpIntake,
    memory: Memory,
    ledger: Ledger,
    clock: Clock,
    handOver: Around['handOver'],
  ) {
    this.options = options
    this.intake = intake
    this.memory = memory
    this.ledger = ledger
    this.clock = clock
    this.answers = new Answers(clock)
    this.handOver = handOver
    this.#open = new Connections(clock)
  }

  accept(socket: Socket, place: Place): void {
    this.#open.add(new Connection(socket, place, this))
  }

  forget(connection: Connection): void {
    this.#open.delete(connection)
  }

  /** Closes what is idle; each request on its way is answered, and its connection closed then. */
  drain(): void {
    this.draining = true
    this.#open.drain()
  }

  /** Ends every connection at once. */
  cut(): void {
    this.#open.cut()
  }
}
