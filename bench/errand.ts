// A piece of work in a process of its own, so that it takes no turns of the loop that measures: the module is started with
// its task as JSON, and says what came of it in one line of JSON.

import { spawn } from 'node:child_process'
import { once } from 'node:events'

/** Runs a module as a process, and resolves with what it said. */
export async function errand(module: string, task: unknown): Promise<unknown> {
  const child = spawn(process.execPath, [module, JSON.stringify(task)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'close')
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text
    // Killed rather than left to end: Node's exit has been seen to wait for its own threads for ever.
    if (said.endsWith('\n')) child.kill('SIGKILL')
  })
  await ended
  if (!said.endsWith('\n')) throw new Error(`${module} failed: ${JSON.stringify(task)}`)
  return JSON.parse(said)
}

/** The task of this process. */
export function task(): string {
  const [, , text] = process.argv
  if (text === undefined) throw new Error('started without a task')
  return text
}

export function say(result: unknown): void {
  process.stdout.write(`${JSON.stringify(result)}\n`)
}
