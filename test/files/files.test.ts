// The promise of following a file: every line once, whatever happens to the file.

import {
  copyFileSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { folder, follow, followed, readFiles, records, until } from './start.ts'

const BEGINNING = { name: 'app', start: 'beginning' }

t.test('lines become log records of the service, as they are written', async t => {
  const { path, write, append } = folder(t)
  write('app.log', 'old line\n')
  const following = await follow(t, { sources: [{ ...BEGINNING, paths: [path('app.log')], service: 'till' }] })
  await records(following, 1)
  append('app.log', '2026-11-28T10:00:00.5Z WARN second\r\nERROR third\n')
  await records(following, 3)
  t.same(following.bodies(), ['old line', '2026-11-28T10:00:00.5Z WARN second', 'ERROR third'])
  t.same(
    following.records.map(each => each.severity),
    [0, 13, 17],
  )
  t.same(
    following.records.map(each => each.time),
    ['0', '1795860000500000000', '0'],
  )
  t.ok(following.records.every(each => each.service === 'till' && each.attributes['log.file.name'] === 'app.log'))
  t.ok(following.records.every(each => Math.abs(Number(each.observed) / 1e6 - Date.now()) < 60_000))
  t.equal(await following.value('app_log_file_lines_total', { source: 'app' }), 3)
  t.equal(await following.value('app_log_files', { source: 'app' }), 1)
  t.equal(await following.value('app_log_file_behind_bytes', { source: 'app' }), 0)
})

t.test('a file that was there before is read from its end, one that comes later from its beginning', async t => {
  const { path, write, append } = folder(t)
  write('old.log', 'never shown\n')
  const following = await follow(t, { paths: [path('*.log')] })
  await followed(following, 1)
  append('old.log', 'shown\n')
  write('new.log', 'new\n')
  await records(following, 2)
  t.same(following.bodies().sort(), ['new', 'shown'])
})

t.test('a line is taken when it is complete, and one without its end when nothing follows', async t => {
  const { path, write, append } = folder(t)
  write('app.log', 'first\nsec')
  const following = await follow(t, { sources: [{ ...BEGINNING, join: false, paths: [path('app.log')] }] })
  await records(following, 1)
  append('app.log', 'ond\nthe last words')
  await records(following, 2)
  t.same(following.bodies(), ['first', 'second'])
  await records(following, 3)
  t.same(following.bodies()[2], 'the last words')
  append('app.log', ' and more\n')
  await records(following, 4)
  t.equal(following.bodies()[3], ' and more')
})

t.test('a renamed file is read to its end, and then the new one', async t => {
  const { path, write, append } = folder(t)
  write('app.log', '')
  const following = await follow(t, { sources: [{ ...BEGINNING, join: false, paths: [path('app.log')] }] })
  await followed(following, 1)
  for (let i = 0; i < 5; i++) {
    append('app.log', `before ${i}\n`)
    renameSync(path('app.log'), path(`app.log.${i}`))
    append(`app.log.${i}`, `after ${i}\n`)
    write('app.log', `new ${i}\n`)
    await records(following, (i + 1) * 3)
  }
  t.equal(new Set(following.bodies()).size, 15)
  t.equal(following.records.length, 15)
  t.ok((await following.value('app_log_file_rotations_total', { source: 'app' })) >= 5)
})

t.test('a file that was rotated twice between two looks is found by its name', async t => {
  const { path, write, append } = folder(t)
  write('app.log', 'one\n')
  const following = await follow(t, {
    poll: '300ms',
    sources: [{ ...BEGINNING, join: false, paths: [path('app.log')] }],
  })
  await records(following, 1)
  renameSync(path('app.log'), path('app.log.2'))
  write('app.log', 'two\n')
  renameSync(path('app.log'), path('app.log.1'))
  write('app.log', 'three\n')
  append('app.log.2', 'late\n')
  await records(following, 4)
  t.same(following.bodies().sort(), ['late', 'one', 'three', 'two'])
})

t.test('text that is given up before its file was found is passed over and counted', async t => {
  const { path, write } = folder(t)
  const following = await follow(t, { sources: [{ ...BEGINNING, paths: [path('a.log')] }] })
  const skipped = following.running.passOver(path('a.log'), 10)
  t.equal(skipped?.from, 0)
  skipped?.dropped(2)
  const further = following.running.passOver(path('a.log'), 17)
  t.equal(further?.from, 10)
  further?.dropped(1)
  t.equal(following.running.passOver(path('a.log'), 17), undefined)
  t.equal(following.running.passOver(path('nobody.log'), 17), undefined)
  // The offset is inside of the third line, whose rest is passed over with it.
  write('a.log', 'one\ntwo\nthree, cut\nfour\n')
  await records(following, 1)
  t.same(following.bodies(), ['four'])
  t.equal(await following.value('app_log_file_dropped_lines_total'), 3)
})

t.test('a truncated file is read from its beginning, and the truncation is counted', async t => {
  const { path, write, append } = folder(t)
  write('app.log', 'one\ntwo\n')
  const following = await follow(t, { sources: [{ ...BEGINNING, join: false, paths: [path('app.log*')] }] })
  await records(following, 2)
  copyFileSync(path('app.log'), path('app.log.1'))
  truncateSync(path('app.log'))
  append('app.log', 'x\n')
  await records(following, 3)
  t.equal(await following.value('app_log_file_truncations_total', { source: 'app' }), 1)
  t.match(following.logged.join(), /was truncated while it was followed/)
})

t.test('a file that was overwritten beyond where it was read is noticed by its contents', async t => {
  const { path, write } = folder(t)
  write('app.log', 'one\n')
  const following = await follow(t, {
    poll: '500ms',
    sources: [{ ...BEGINNING, join: false, paths: [path('app.log')] }],
  })
  await records(following, 1)
  truncateSync(path('app.log'))
  write('app.log', 'a longer line than before\nand another\n')
  await records(following, 3)
  t.same(following.bodies(), ['one', 'a longer line than before', 'and another'])
  t.equal(await following.value('app_log_file_truncations_total', { source: 'app' }), 1)
})

t.test('a file that was truncated twice between two looks loses no line', async t => {
  const { path, write, append } = folder(t)
  write('app.log', 'one\n')
  const following = await follow(t, {
    poll: '500ms',
    sources: [{ ...BEGINNING, join: false, paths: [path('app.log')] }],
  })
  await records(following, 1)
  append('app.log', 'two\n')
  copyFileSync(path('app.log'), path('app.log.1'))
  write('app.log', 'three\n')
  renameSync(path('app.log.1'), path('app.log.2'))
  copyFileSync(path('app.log'), path('app.log.1'))
  write('app.log', 'four\n')
  await records(following, 4)
  t.same(following.bodies().sort(), ['four', 'one', 'three', 'two'])
})

t.test('a file that was truncated and has got as many bytes again is noticed', async t => {
  const { path, write, append } = folder(t)
  write('app.log', 'line 1\n')
  const following = await follow(t, {
    poll: '100ms',
    sources: [{ ...BEGINNING, join: false, paths: [path('app.log')] }],
  })
  await records(following, 1)
  copyFileSync(path('app.log'), path('app.log.1'))
  truncateSync(path('app.log'))
  append('app.log', 'line 2\n')
  await records(following, 2)
  t.same(following.bodies(), ['line 1', 'line 2'])
  t.equal(await following.value('app_log_file_truncations_total', { source: 'app' }), 1)
})

t.test('the copy that copytruncate makes is not read again', async t => {
  const { path, write, append } = folder(t)
  const text = Array.from({ length: 200 }, (_, i) => `line ${i} of a file that is long enough\n`).join('')
  write('app.log', text)
  const following = await follow(t, { sources: [{ ...BEGINNING, join: false, paths: [path('app.log*')] }] })
  await records(following, 200)
  copyFileSync(path('app.log'), path('app.log.1'))
  await followed(following, 2)
  truncateSync(path('app.log'))
  append('app.log', 'after\n')
  await records(following, 201)
  t.equal(following.bodies().at(-1), 'after')
  t.equal(following.records.length, 201)
})

t.test('a new file that begins like the one before it is not taken for its copy', async t => {
  for (const paths of ['app.log', 'app.log*']) {
    const { path, write } = folder(t)
    const text = 'the same line as always in this log, with no time in it\n'.repeat(50)
    write('app.log', text)
    const following = await follow(t, {
      poll: '300ms',
      sources: [{ ...BEGINNING, join: false, paths: [path(paths)] }],
    })
    await records(following, 50)
    renameSync(path('app.log'), path('app.log.1'))
    write('app.log', `${text}the end\n`)
    await records(following, 101)
    t.equal(following.bodies().at(-1), 'the end', paths)
  }
})

t.test('a deleted file is read to its end, and a file of the same name is another', async t => {
  const { path, write, append } = folder(t)
  write('app.log', 'one\n')
  const following = await follow(t, { sources: [{ ...BEGINNING, join: false, paths: [path('app.log')] }] })
  await records(following, 1)
  append('app.log', 'two\n')
  unlinkSync(path('app.log'))
  write('app.log', 'three\n')
  await records(following, 2)
  await until(
    () => following.bodies().includes('three'),
    () => following.bodies().join(),
  )
})

t.test('a link that is turned to another file leads to that one, as Kubernetes swaps them', async t => {
  const { path, write, append } = folder(t)
  write('0.log', 'zero\n')
  write('1.log', 'one\n')
  symlinkSync(path('0.log'), path('current'))
  const following = await follow(t, { sources: [{ ...BEGINNING, join: false, paths: [path('current')] }] })
  await records(following, 1)
  symlinkSync(path('1.log'), path('next'))
  renameSync(path('next'), path('current'))
  await records(following, 2)
  append('1.log', 'more\n')
  await records(following, 3)
  t.same(following.bodies(), ['zero', 'one', 'more'])
})

t.test('one file with two names is read once', async t => {
  const { path, write, append } = folder(t)
  write('a.log', 'one\n')
  linkSync(path('a.log'), path('b.log'))
  const following = await follow(t, { sources: [{ ...BEGINNING, join: false, paths: [path('*.log')] }] })
  await records(following, 1)
  append('b.log', 'two\n')
  await records(following, 2)
  t.same(following.bodies(), ['one', 'two'])
})

t.test('patterns find files in folders, leave out compressed and excluded ones, and take no FIFO', async t => {
  const { dir, path, write } = folder(t)
  mkdirSync(join(dir, 'a/b'), { recursive: true })
  write('a/b/deep.log', 'deep\n')
  write('a/x1.log', 'x1\n')
  write('a/x2.log', 'x2\n')
  write('a/.hidden.log', 'hidden\n')
  write('a/x1.log.gz', 'gz\n')
  write('a/no.log', 'no\n')
  const { spawnSync } = process.getBuiltinModule('node:child_process')
  spawnSync('mkfifo', [path('a/fifo.log')])
  const following = await follow(t, {
    sources: [{ ...BEGINNING, paths: [join(dir, '**/*.log*')], exclude: [join(dir, '**/no.*')], join: false }],
  })
  await records(following, 3)
  await new Promise(resolve => setTimeout(resolve, 100))
  t.same(following.bodies().sort(), ['deep', 'x1', 'x2'])
})

t.test('a pattern that cannot be used is a mistake of the configuration', async t => {
  const reading = await readFiles('{ paths: ["/var/log/[z-a].log"] }')
  t.match(reading, { ok: false, problems: [{ text: /a range in it ends before it begins/ }] })
})

t.test('a restart goes on where reading stopped, also in files that were renamed or made meanwhile', async t => {
  const { path, write, append } = folder(t)
  const options = {
    positions: path('state/positions.json'),
    sources: [{ name: 'app', join: false, paths: [path('*.log'), path('*.log.1')] }],
  }
  write('a.log', 'never shown: the first start begins at the end\n')
  const first = await follow(t, options)
  await followed(first, 1)
  append('a.log', 'one\ntwo\nthr')
  await records(first, 2)
  await first.stop()
  append('a.log', 'ee\nfour\n')
  renameSync(path('a.log'), path('a.log.1'))
  write('a.log', 'five\n')
  const second = await follow(t, options)
  await records(second, 3)
  await second.stop()
  t.same(second.bodies().sort(), ['five', 'four', 'three'])
  const third = await follow(t, options)
  await followed(third, 2)
  append('a.log', 'six\n')
  await records(third, 1)
  t.same(third.bodies(), ['six'], 'never a line twice')
})

t.test('two sidecars with one file of positions leave a whole file, and each says so', async t => {
  const { path, append } = folder(t)
  append('a.log', 'one\n')
  const options = { positions: path('p.json'), sources: [{ ...BEGINNING, join: false, paths: [path('a.log')] }] }
  const both = [await follow(t, options), await follow(t, options)]
  for (const each of both)
    await until(
      () => {
        append('a.log', 'more\n')
        return each.logged.some(line => /another sidecar writes .*p.json too/.test(line))
      },
      () => `${each.logged}`,
    )
  for (const each of both) await each.stop()
  t.equal(JSON.parse(readFileSync(path('p.json'), 'utf8')).version, 1)
})

t.test('another file with the same inode is not taken for the one that was read', async t => {
  const { path, write } = folder(t)
  const options = { positions: path('p.json'), sources: [{ ...BEGINNING, join: false, paths: [path('app.log')] }] }
  write('app.log', 'one\ntwo\n')
  const first = await follow(t, options)
  await records(first, 2)
  await first.stop()
  rmSync(path('app.log'))
  // Most file systems give it the same inode.
  write('app.log', 'eins\nzwei\ndrei\n')
  const second = await follow(t, options)
  await records(second, 3)
  t.same(second.bodies(), ['eins', 'zwei', 'drei'])
})

t.test(
  'positions that cannot be read are left as they are, with what to do, and lines are read nevertheless',
  async t => {
    const { path, write } = folder(t)
    const f = async (text: string, expected: RegExp): Promise<void> => {
      write('p.json', text)
      write('a.log', 'one\n')
      const following = await follow(t, {
        positions: path('p.json'),
        sources: [{ ...BEGINNING, join: false, paths: [path('a.log')] }],
      })
      await records(following, 1)
      await following.stop()
      t.match(following.logged.join('\n'), expected)
      t.equal(await following.value('pillion_files_position_failures_total'), 1)
      t.equal(readFileSync(path('p.json'), 'utf8'), text)
    }
    await f('{', /cannot read the positions in .*p.json: .*; delete it, or choose another with --files.positions/)
    await f('{"version":2}', /it has version 2, and this sidecar reads 1/)
  },
)

t.test('a consumer without room is asked again, and nothing is lost or doubled', async t => {
  const { path, write } = folder(t)
  write('app.log', 'one\ntwo\n')
  const following = await follow(t, { sources: [{ ...BEGINNING, join: false, paths: [path('none.log')] }] })
  following.consumer.admits = 20
  renameSync(path('app.log'), path('none.log'))
  await until(
    () => following.consumer.asked > 3,
    () => 'it was asked again',
  )
  t.same(following.bodies(), [])
  following.consumer.admits = 0
  await records(following, 2)
  t.same(following.bodies(), ['one', 'two'])
})
