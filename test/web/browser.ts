// A real browser without a window, if this machine has one, asked through its DevTools protocol.

import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import type { Test } from 'tap'

/** Chromium, where it is installed. */
export const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(path =>
  existsSync(path),
)

export interface Browser {
  /** Opens an address on a screen of this width, and gives back the value of an expression in it. */
  evaluate(url: string, width: number, expression: string): Promise<unknown>
}

export async function browser(t: Test): Promise<Browser> {
  const flags = [
    '--headless=new',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-dev-shm-usage',
    '--remote-debugging-port=0',
  ]
  const child = spawn(CHROMIUM!, [...flags, `--user-data-dir=${t.testdir({})}`, 'about:blank'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const ended = new Promise(resolve => child.once('exit', resolve))
  let said = ''
  const address = await new Promise<string>((resolve, reject) => {
    child.stderr.setEncoding('utf8').on('data', text => {
      said += text
      const [, found] = /DevTools listening on (ws:\S+)/.exec(said) ?? []
      if (found !== undefined) resolve(found)
    })
    child.once('exit', () => reject(new Error(`the browser ended: ${said}`)))
  })
  const targets = await (await fetch(`http://${new URL(address).host}/json/list`)).json()
  const page = (targets as { type: string; webSocketDebuggerUrl: string }[]).find(each => each.type === 'page')
  const socket = new WebSocket(page!.webSocketDebuggerUrl)
  await new Promise(resolve => socket.addEventListener('open', resolve, { once: true }))
  t.teardown(async () => {
    socket.close()
    child.kill()
    await ended
  })
  let last = 0
  const send = (method: string, params: object = {}): Promise<{ result?: { value?: unknown } }> =>
    new Promise(resolve => {
      const id = ++last
      const answered = ({ data }: MessageEvent): void => {
        const message = JSON.parse(String(data)) as { id?: number; result: { result?: { value?: unknown } } }
        if (message.id !== id) return
        socket.removeEventListener('message', answered)
        resolve(message.result)
      }
      socket.addEventListener('message', answered)
      socket.send(JSON.stringify({ id, method, params }))
    })
  return {
    async evaluate(url, width, expression) {
      await send('Page.enable')
      await send('Emulation.setDeviceMetricsOverride', { width, height: 844, deviceScaleFactor: 1, mobile: true })
      const loaded = new Promise<void>(resolve => {
        socket.addEventListener('message', function loading({ data }) {
          if (!String(data).includes('"Page.loadEventFired"')) return
          socket.removeEventListener('message', loading)
          resolve()
        })
      })
      await send('Page.navigate', { url })
      await loaded
      return (await send('Runtime.evaluate', { expression, returnByValue: true })).result?.value
    },
  }
}
