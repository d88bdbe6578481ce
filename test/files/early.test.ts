// Files that are there when the sidecar first looks, and cannot be followed before later.

import { rmSync } from 'node:fs'
import t from 'tap'
import { folder, follow, records, until } from './start.ts'

// A file that has been removed is given up after five seconds.
t.jobs = 2

t.test(
  'a file that was there at the start, but could not be followed then, is not read from its beginning',
  async t => {
    const { path, write, append } = folder(t)
    write('a.log', 'old\n')
    write('b.log', 'old too\nbeg')
    const following = await follow(t, { max_files: 1, sources: [{ name: 'app', paths: [path('*.log')] }] })
    await until(
      async () => (await following.value('app_log_files_unfollowed', { source: 'app' })) === 1,
      () => following.logged.join('\n'),
    )
    append('b.log', 'un\nnew\n')
    rmSync(path('a.log'))
    await records(following, 2)
    t.same(following.bodies(), ['begun', 'new'])
  },
)

t.test('a file that cannot be followed when the sidecar is back goes on where reading stopped', async t => {
  const { path, write, append } = folder(t)
  const options = {
    positions: path('positions.json'),
    sources: [{ name: 'app', start: 'beginning', paths: [path('*.log')] }],
  }
  write('b.log', 'read\n')
  const first = await follow(t, options)
  await records(first, 1)
  await first.stop()
  append('b.log', 'meanwhile\n')
  write('a.log', 'a\n')
  const second = await follow(t, { ...options, max_files: 1 })
  await records(second, 1)
  rmSync(path('a.log'))
  await records(second, 2)
  t.same(second.bodies(), ['a', 'meanwhile'])
})
