// The result of `npm run build` runs without type stripping.

import { existsSync, readFileSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { Child } from './child.ts'
import { BUILT } from './ride.ts'

const BUILD = fileURLToPath(new URL('../../scripts/build.ts', import.meta.url))

t.before(async () => {
  await using build = await Child.start(process.execPath, [BUILD])
  const { code } = await build.ended
  if (code !== 0) throw new Error(`cannot build:\n${build.stdout}${build.stderr}`)
})

t.test('the build is a program: executable, with types, and it knows its version', async t => {
  t.ok(statSync(BUILT).mode & 0o111)
  t.match(readFileSync(BUILT, 'utf8'), /^#!\/usr\/bin\/env -S node --/)
  t.ok(existsSync(BUILT.replace(/\.js$/, '.d.ts')))
  await using version = await Child.start(process.execPath, ['--no-experimental-strip-types', BUILT, 'version'])
  t.equal((await version.ended).code, 0)
  t.match(version.stdout, JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version)
})
