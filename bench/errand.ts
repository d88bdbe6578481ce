// Runs a task in a process of its own, so that it does not use the event loop of the process that measures. The module gets
// its task as JSON and prints the result as one line of JSON.

import { spawn } from 'node:child_process'
import { once } from 'node:events'

/** Runs a module as a process and resolves with its result. */
export async function errand(module: string, task: unknown): Promise<unknown> {
  const child = spawn(process.execPath, [module, JSON.stringify(task)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'close')
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text
    // Killed rather than waited for: Node has been seen to hang at exit, waiting for its own threads.
    if (said.endsWith('\n')) child.kill('SIGKILL')
  })
  await ended
  if (!said.endsWith('\n')) throw new Error(`${module} failed: ${JSON.stringify(task)}`)
  return JSON.parse(said)
}

/** The task given to this process. */
export function task(): string {
  const [, , text] = process.argv
  if (text === undefined) throw new Error('started without a task')
  return text
}

export function say(result: unknown): void {
  process.stdout.write(`${JSON.stringify(result)}\n`)
}
