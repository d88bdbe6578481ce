// A public corpus of HTTP/1 requests, right and wrong, that gunicorn tests its parser with; and attempts at smuggling. Real servers
// answer them directly and through the tap.

import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { FOLDER } from '../deploy/judges.ts'
import { Child, freePort } from '../e2e/child.ts'
import { MAIN } from '../e2e/ride.ts'
import { ask, flags, type Ports, ports, tapAnswers, until } from './tapped.ts'

t.setTimeout(240_000)

const CORPUS = join(FOLDER, 'http-corpus')

/** The files spell line breaks and odd characters out. */
function read(file: string): Buffer {
  const text = readFileSync(file, 'latin1').replaceAll('\n', '')
  const spelled: Readonly<Record<string, string>> = { '\\r': '\r', '\\n': '\n', '\\0': '\0', '\\t': '\t' }
  return Buffer.from(
    text.replace(/\\[rn0t]/g, each => spelled[each]!),
    'latin1',
  )
}

const SMUGGLING = [
  'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG',
  'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n12\r\nGET /s HTTP/1.1\r\n\r\n0\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: a\r\nX: x\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: a\r\nX: x\rTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "chunked"\r\nContent-Length: 5\r\n\r\n0\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\n0\r\n\r\n',
  'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 23\r\n\r\nGET /s HTTP/1.1\r\nHost: a\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;\n\r\nabcde\r\n0\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdeXX0\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n',
  'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n',
].map(each => Buffer.from(each, 'latin1'))

function requests(): readonly (readonly [string, Buffer])[] {
  const files = ['valid', 'invalid'].flatMap(kind =>
    readdirSync(join(CORPUS, kind))
      .filter(each => each.endsWith('.http'))
      .map(each => [`${kind}/${each}`, read(join(CORPUS, kind, each))] as const),
  )
  return [...files, ...SMUGGLING.map((each, i) => [`smuggling ${i}`, each] as const)]
}

/** All that the server answers, until it closes the connection. */
function answer(port: number, request: Buffer): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  let got = ''
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  socket.setEncoding('latin1').on('data', text => {
    got += text
  })
  socket.on('end', () => socket.end())
  socket.on('error', error => resolve(`${got} ${'code' in error ? error.code : ''}`))
  socket.on('close', () => resolve(got.replace(/^Date: .*$/gim, 'Date: …')))
  socket.end(request)
  return promise
}

async function alike(t: Test, server: number, at: Ports): Promise<void> {
  let different = 0
  const all = requests()
  for (const [name, request] of all) {
    const direct = await answer(server, request)
    const tapped = await answer(at.tap, request)
    if (direct === tapped) continue
    different++
    t.equal(tapped, direct, name)
  }
  t.equal(different, 0, `${all.length} requests`)
  const { numbers } = await tapAnswers(at)
  t.equal((numbers['opaque'] as { error: number }).error, 0)
  t.comment(JSON.stringify({ ...(numbers['opaque'] as object), ...(numbers['requests'] as object) }))
}

async function before(t: Test, server: number, more: readonly string[] = []): Promise<Ports> {
  const at = await ports()
  const child = await Child.start(process.execPath, [MAIN, 'tap', ...flags(at, server, ['--tap.drain=0s', ...more])])
  t.teardown(() => child.stop())
  await tapAnswers(at)
  return at
}

const absent = existsSync(CORPUS) ? false : 'needs: .ci/judges'

t.test(
  'the answers of a server to a public corpus of requests are the same through the tap',
  { skip: absent },
  async t => {
    const server = createServer({ keepAliveTimeout: 1000 }, (asked, response) => {
      let bytes = 0
      asked.on('data', (piece: Buffer) => {
        bytes += piece.length
      })
      asked.on('end', () => response.end(JSON.stringify([asked.method, asked.url, asked.rawHeaders, bytes])))
      response.sendDate = false
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    t.teardown(() => {
      server.close()
      server.closeAllConnections()
    })
    const { port } = server.address() as AddressInfo
    await alike(t, port, await before(t, port))
  },
)

t.test(
  'and so is what nginx answers',
  { skip: absent || (existsSync('/usr/sbin/nginx') ? false : 'needs nginx: apt-get install nginx-light') },
  async t => {
    const dir = mkdtempSync(join(tmpdir(), 'tap-nginx-'))
    const port = await freePort()
    mkdirSync(join(dir, 'temp'))
    const temps = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      each => `${each}_temp_path ${dir}/temp/${each};`,
    )
    const user = process.getuid?.() === 0 ? 'user root;' : ''
    writeFileSync(
      join(dir, 'nginx.conf'),
      `${user} daemon off; worker_processes 1; pid ${dir}/pid; error_log ${dir}/error.log; events { worker_connections 64; }
http { ${temps.join(' ')} access_log off; server { listen 127.0.0.1:${port}; location / { return 200 "$request_method $request_uri $content_length"; } } }`,
    )
    const nginx = await Child.start('nginx', ['-c', join(dir, 'nginx.conf'), '-p', dir])
    t.teardown(async () => {
      await nginx.stop()
      rmSync(dir, { recursive: true, force: true })
    })
    await until('nginx', () => ask(port, '/').then(() => true))
    await alike(t, port, await before(t, port))
  },
)
