// A configuration that cannot work is refused before anything starts, and in the same words by check, by a start and by run.

import { spawnSync } from 'node:child_process'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

const MAIN = join(import.meta.dirname, '../../main.ts')
const folder = t.testdir()

function pillion(...args: string[]): { status: number | null; stderr: string } {
  const { status, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
    cwd: folder,
    env: { PATH: process.env['PATH'] },
    encoding: 'utf8',
    timeout: 60_000,
  })
  return { status, stderr }
}

t.test('eight kinds of configuration that cannot work are reported at once, each with line and column', async t => {
  writeFileSync(
    join(folder, 'pillion.yaml'),
    `health:
  probes:
    - {name: a, kind: tcp}
    - {name: b, kind: tcp, address: nowhere}
    - {name: c, kind: http}
    - {name: d, kind: exec}
    - {name: a, url: 'http://127.0.0.1/'}
    - name: e
      url: http://127.0.0.1/
      headers: ['a: b', 'no colon']
web:
  token_file: nothing
  config:
    file: nothing.yml
`,
  )
  const expected = {
    status: 78,
    stderr: `pillion.yaml:3:7: health.probes[0].address: is missing; give HOST:PORT
pillion.yaml:4:37: health.probes[1].address: must be HOST:PORT, not "nowhere"
pillion.yaml:5:7: health.probes[2].url: is missing; give the URL to request, or another kind
pillion.yaml:6:7: health.probes[3].command: is missing; give the program and its arguments as a list
pillion.yaml:7:14: health.probes[4].name: "a" is already taken; give each probe its own name
pillion.yaml:10:25: health.probes[5].headers[1]: must be "Name: value"
pillion.yaml:12:15: web.token_file: cannot read "nothing": there is no such file
pillion.yaml:14:11: web.config.file: cannot read "nothing.yml": there is no such file
`,
  }
  t.same(pillion('check'), expected)
  t.same(pillion(), expected, 'a start')
  t.same(pillion('run', '--', 'touch', 'started'), expected, 'run')
  t.notOk(existsSync(join(folder, 'started')), 'nothing was started')
  rmSync(join(folder, 'pillion.yaml'))
})

t.test('a flag whose value cannot work is named', async t => {
  t.same(pillion('check', '--web.token_file=nothing'), {
    status: 78,
    stderr: '--web.token_file: cannot read "nothing": there is no such file\n',
  })
})

t.test('files that are there and of no use are faults too', async t => {
  const f = (flag: string, content: string, expected: RegExp) => {
    writeFileSync(join(folder, 'file'), content)
    const { status, stderr } = pillion('check', `--${flag}=file`)
    t.equal(status, 78)
    t.match(stderr, expected)
  }
  f('web.token_file', '', /^--web\.token_file: cannot read the token: it is empty/)
  f('web.config.file', 'basic_auth: {}', /^--web\.config\.file: file: basic_auth is not supported/)
  f(
    'web.config.file',
    'tls_server_config: {cert_file: a, key_file: b}',
    /^--web\.config\.file: cannot read cert_file "a"/,
  )
})
