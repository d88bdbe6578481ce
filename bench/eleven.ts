// An application of eleven threads: Node's main thread with its pool in use and four workers of V8 (--v8-pool-size=4). It
// serves HTTP on a port, and wakes up twenty times a second to read a file, as timers of an application at rest do: so the
// sampler beside it has something to ask for in most of its rows.
//
//   node --v8-pool-size=4 bench/eleven.ts PORT

import { readFile } from 'node:fs'
import { createServer } from 'node:http'

createServer((_, response) => response.end('ok\n')).listen(Number(process.argv[2]), '127.0.0.1')
setInterval(() => readFile(import.meta.filename, () => {}), 50)
