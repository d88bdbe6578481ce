// Files of the kernel are read whole, and no file holds the sidecar.

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { bytes, KeptFile, readText } from '../../collectors/process/file.ts'

// A list of the kernel like cgroup.procs and mountinfo, and longer than any buffer.
const LIST = '/proc/kallsyms'
const NO_LIST = !existsSync(LIST) && `no ${LIST} here; run on Linux`

t.test('a list of the kernel is read beyond its first page', { skip: NO_LIST }, async t => {
  const expected = readFileSync(LIST, 'latin1').slice(0, bytes.length)
  t.equal(readText(LIST), expected)
  using kept = new KeptFile(LIST)
  for (let again = 0; again < 2; again++) {
    t.equal(kept.read(), bytes.length)
    t.equal(bytes.toString('latin1'), expected)
  }
})

t.test('a small file is read again from its beginning', async t => {
  using kept = new KeptFile('/proc/self/stat')
  const first = kept.read()
  t.type(first, 'number')
  t.equal(kept.read(), first)
})

t.test('a named pipe that nobody writes to does not hold the sidecar', async t => {
  const pipe = join(t.testdir({}), 'pipe')
  t.equal(spawnSync('mkfifo', [pipe]).status, 0)
  t.equal(readText(pipe), undefined)
  using kept = new KeptFile(pipe)
  t.equal(kept.read(), 'unsupported')
})
