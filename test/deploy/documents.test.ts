// The documents about deployment agree with the files that they describe.

import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { unfit } from '../../version.ts'
import { ROOT } from './judges.ts'

const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8')

for (const file of ['docs/deploy.md', 'docs/support.md', 'SECURITY.md', 'docs/decisions/0008-process-one.md'])
  t.test(`${file}: every link leads somewhere, and every test and program that is named is there`, async t => {
    const text = read(file)
    for (const [, target = ''] of text.matchAll(/\]\(([^)#:]+)\)/g))
      t.ok(existsSync(join(ROOT, dirname(file), target)), target)
    for (const [, target = ''] of text.matchAll(/`((?:test|scripts|deploy)\/[^`*% ]+)`/g))
      t.ok(existsSync(join(ROOT, target)), target)
    t.pass('read to the end')
  })

t.test('the oldest Node is the same in the gate, the manifest and the documents', async t => {
  const [, oldest = ''] = /^>=(\d+\.\d+\.\d+)$/.exec(JSON.parse(read('package.json')).engines.node) ?? []
  t.equal(unfit(oldest), undefined)
  t.match(unfit('24.12.0'), oldest)
  for (const file of ['docs/deploy.md', 'docs/support.md', 'SECURITY.md', 'Dockerfile'])
    t.match(read(file), oldest, file)
})

t.test('the releases of Kubernetes that are promised are those that the manifests are held against', async t => {
  const [, told = ''] = /the schemas of ([\d., and]+);/.exec(read('docs/support.md')) ?? []
  const [, held = ''] = /for \(const release of \[(.*)\]\)/.exec(read('test/deploy/kubernetes.test.ts')) ?? []
  t.same(told.match(/\d+\.\d+/g), held.match(/\d+\.\d+/g))
})
