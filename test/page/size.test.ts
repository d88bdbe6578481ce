// The files of the page: small, named by their content, and made once.

import { gzipSync } from 'node:zlib'
import t from 'tap'
import { bundle } from '../../exporter/web/bundle.ts'
import { openServer, parsed } from '../web/open.ts'

/** Budget of the whole page, compressed. */
const MOST_BYTES = 60 * 1000

t.test('the page is at most 60 kB, compressed, and has nothing that its policy forbids', async t => {
  const { files, packages } = await bundle()
  t.same([...files.keys()].map(name => name.replace(/-\w+\./, '.')).sort(), ['page.css', 'page.js'])
  const bytes = [...files.values()].reduce((sum, text) => sum + gzipSync(text, { level: 9 }).length, 0)
  t.comment(`${bytes} bytes`)
  t.ok(bytes <= MOST_BYTES, `${bytes} bytes`)
  for (const [name, text] of files) {
    for (const forbidden of [/\beval\(/, /new Function\(/, /document\.write/, /\burl\(/, /@import/])
      t.notOk(forbidden.test(text), `${name} has no ${forbidden.source}`)
  }
  t.same([...packages].sort(), ['node_modules/preact'])
})

t.test('its files may be kept for ever, since their names change with their content', async t => {
  const { ask } = await openServer(t)
  const { body } = parsed(await ask('GET /'))
  for (const [, name] of body.matchAll(/(?:src|href)="(\/page-\w+\.(?:js|css))"/g)) {
    const { status, head } = parsed(await ask(`GET ${name}`, 'Accept-Encoding: gzip'))
    t.equal(status, 200)
    t.match(head, /Cache-Control: max-age=31536000, immutable/)
    t.match(head, /Content-Encoding: gzip/)
    t.match(head, name!.endsWith('js') ? /Content-Type: text\/javascript/ : /Content-Type: text\/css/)
    t.match(parsed(await ask(`GET ${name}`)).head, /Content-Length: \d{4}/)
  }
  t.equal(parsed(await ask('GET /page-NOTTHERE.js')).status, 404)
})
