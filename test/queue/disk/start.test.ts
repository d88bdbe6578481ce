// The start after a sudden end, which is where queues on disk have had their worst faults. Each file is damaged in every way,
// and what is intact must come out, once, in order, with everything else counted.

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  appendFileSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import t, { type Test } from 'tap'
import { cursorText } from '../../../queue/disk/cursor.ts'
import { fileHead, HEAD, MARKER, segmentName, writeRecordHead } from '../../../queue/disk/format.ts'
import { Ranges } from '../../../queue/disk/ranges.ts'
import { drain, numbered, numbers, open, root, segmentPath, segments, until, write } from './folder.ts'

/** A folder in which a process has left requests with these numbers, all unsent. */
async function left(t: Test, requests: readonly number[], length = 100, most = 64 << 20): Promise<string> {
  const folder = root(t)
  const { queue } = await open(t, folder, { most })
  for (const each of requests) {
    queue.append(numbered(each, length))
    if (length > 1000) await queue.sync()
  }
  await queue[Symbol.asyncDispose]()
  return folder
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i)
}

t.test('appended records are there after the end, are counted as recovered, and are sent in order', async t => {
  const folder = await left(t, range(1, 1000))
  const { queue } = await open(t, folder)
  t.equal(queue.recovered('traces'), 1000)
  t.equal(queue.held('traces').items, 1000)
  t.equal(queue.held('traces').bytes.disk, 100_000)
  t.equal(queue.waiting('traces'), 100_000)
  t.same(await drain(queue), range(1, 1000))
  t.same(queue.held('traces'), { items: 0, bytes: { memory: 0, disk: 0 }, oldest: undefined })
})

t.test(
  'records dealt with are not sent again, and their files are deleted after the cursor has been written',
  async t => {
    const folder = root(t)
    const first = await open(t, folder)
    await write(
      first.queue,
      range(1, 10).map(each => numbered(each, 300_000)),
    )
    const batches = [
      await first.queue.next('traces'),
      await first.queue.next('traces'),
      await first.queue.next('traces'),
    ]
    first.queue.done(batches[0]!)
    first.queue.done(batches[2]!)
    await first.clock.pass(2000)
    await first.queue[Symbol.asyncDispose]()
    t.match(
      readFileSync(`${folder}/queue/traces/cursor`, 'utf8'),
      /^pillion-queue-cursor 1\n1-1\n3-3\ncrc [0-9a-f]{8}\n$/,
    )
    const second = await open(t, folder)
    t.equal(second.queue.recovered('traces'), 8)
    t.same(await drain(second.queue), [2, ...range(4, 10)])
    await until(second.clock, () => segments(folder).length === 0)
    await second.queue[Symbol.asyncDispose]()
    const third = await open(t, folder)
    t.equal(third.queue.recovered('traces'), 0)
    await write(third.queue, [numbered(11)])
    t.same(segments(folder), [segmentName(11)], 'numbers go on')
  },
)

t.test('the last file, cut off at every byte: all whole records come out, and the rest is counted', async t => {
  const folder = await left(t, [1, 2, 3, 4], 21)
  const path = segmentPath(folder)
  const whole = readFileSync(path)
  const record = 56
  t.equal(whole.length, HEAD + 4 * record)
  for (let length = 0; length < whole.length; length++) {
    writeFileSync(path, whole.subarray(0, length))
    const { queue } = await open(t, folder)
    const records = Math.max(0, Math.floor((length - HEAD) / record))
    t.equal(queue.recovered('traces'), records, `${length} bytes`)
    t.same(await drain(queue), range(1, records))
    const rest = length < HEAD ? length : (length - HEAD) % record
    t.equal(queue.disk().corrupt, rest, `${length} bytes`)
    await write(queue, [numbered(9)])
    t.same(await drain(queue), [9], 'and it goes on')
    await queue[Symbol.asyncDispose]()
    rmSync(`${folder}/queue/traces`, { recursive: true })
    mkdirSync(`${folder}/queue/traces`)
  }
})

t.test('every byte of a file with three records, changed: one record is lost, or the file is set aside', async t => {
  const folder = await left(t, [1, 2, 3], 21)
  const path = segmentPath(folder)
  const name = segments(folder)[0]!
  const whole = readFileSync(path)
  const record = 56
  for (let at = 0; at < whole.length; at++) {
    const changed = Buffer.from(whole)
    changed[at]! ^= 1 << (at % 8)
    rmSync(`${folder}/queue/traces`, { recursive: true })
    mkdirSync(`${folder}/queue/traces`)
    writeFileSync(path, changed)
    const { queue, lost } = await open(t, folder)
    const found = await drain(queue)
    const hurt = Math.floor((at - HEAD) / record) + 1
    const padding = at >= HEAD && (at - HEAD) % record >= 32 + 21
    if (at < HEAD) {
      t.same(found, [], `byte ${at}`)
      t.match(readdirSync(`${folder}/queue/traces`).join(' '), new RegExp(`${name}\\.corrupt-\\d+`))
    } else if (padding) t.same(found, [1, 2, 3], `byte ${at} is no content`)
    else {
      t.same(
        found,
        [1, 2, 3].filter(each => each !== hurt),
        `byte ${at}`,
      )
      t.equal(queue.disk().corrupt, record)
    }
    t.equal(queue.recovered('traces'), found.length + (lost.get('traces corrupt') ?? 0), 'the account is exact')
    t.equal(queue.held('traces').items, 0)
    await queue[Symbol.asyncDispose]()
  }
})

/** Ten records in five files. */
async function fiveFiles(t: Test): Promise<string> {
  const folder = await left(t, range(1, 10), 30_000, 512 * 1024)
  t.same(segments(folder).length, 5)
  return folder
}

t.test('any one file, deleted: everything else comes out', async t => {
  for (let i = 0; i < 5; i++) {
    const folder = await fiveFiles(t)
    rmSync(segmentPath(folder, i))
    const { queue } = await open(t, folder)
    const rest = range(1, 10).filter(each => Math.floor((each - 1) / 2) !== i)
    t.equal(queue.recovered('traces'), 8)
    t.same(await drain(queue), rest)
    t.equal(queue.held('traces').items, 0)
    await queue[Symbol.asyncDispose]()
  }
})

t.test(
  'any two files, swapped: everything comes out, in order, and no new file takes the name of an old one',
  async t => {
    for (let i = 0; i < 5; i++)
      for (let j = i + 1; j < 5; j++) {
        const folder = await fiveFiles(t)
        const [a, b] = [segmentPath(folder, i), segmentPath(folder, j)]
        renameSync(a, `${a}.tmp`)
        renameSync(b, a)
        renameSync(`${a}.tmp`, b)
        const { queue } = await open(t, folder)
        await write(queue, [numbered(11)])
        t.same(await drain(queue), range(1, 11))
        await queue[Symbol.asyncDispose]()
      }
  },
)

t.test(
  'a cursor from the future, from the past, or of another queue: nothing that is there is taken for sent',
  async t => {
    const cursors = {
      future: cursorText(new Ranges([[1, 1_000_000]])),
      damaged: cursorText(new Ranges([[1, 3]])).replace('1-3', '1-9'),
      old: cursorText(new Ranges()),
      empty: '',
      'cut off': cursorText(new Ranges([[1, 3]])).slice(0, -4),
      strange: '\0\0\0\0',
      reversed: cursorText(new Ranges([[9, 3]])),
      large: '9'.repeat(600_000),
    }
    for (const [name, text] of Object.entries(cursors)) {
      const folder = await left(t, [1, 2, 3, 4])
      writeFileSync(`${folder}/queue/traces/cursor`, text)
      const { queue } = await open(t, folder)
      t.equal(queue.recovered('traces'), 4, name)
      await write(queue, [numbered(5)])
      await queue[Symbol.asyncDispose]()
      const { queue: again } = await open(t, folder)
      t.same(await drain(again), [1, 2, 3, 4, 5], name)
    }
  },
)

t.test('after a cursor from the future, new records are not taken for old ones, whenever the power goes', async t => {
  const folder = await left(t, [1, 2, 3, 4])
  writeFileSync(`${folder}/queue/traces/cursor`, cursorText(new Ranges([[1, 6]])))
  const { queue } = await open(t, folder)
  t.match(
    readFileSync(`${folder}/queue/traces/cursor`, 'utf8'),
    /^pillion-queue-cursor 1\ncrc/,
    'it is replaced at once',
  )
  await write(queue, [numbered(5)])
  t.same(segments(folder), [segmentName(1), segmentName(7)])
})

t.test(
  'other files in the folder are left alone, and one that only has the name of a segment is set aside',
  async t => {
    const folder = await left(t, [1, 2])
    const traces = `${folder}/queue/traces`
    writeFileSync(`${traces}/notes.txt`, 'mine')
    writeFileSync(`${traces}/${segmentName(77)}.bak`, 'mine')
    mkdirSync(`${traces}/${segmentName(100)}`)
    symlinkSync('/etc/passwd', `${traces}/${segmentName(101)}`)
    spawnSync('mkfifo', [`${traces}/${segmentName(102)}`])
    writeFileSync(`${traces}/${segmentName(103)}`, 'PILLIONQ is not enough, nor is any text that comes after it')
    writeFileSync(`${traces}/${segmentName(104)}`, '')
    rmSync(`${traces}/cursor`, { force: true })
    mkdirSync(`${traces}/cursor`)
    const { queue, clock } = await open(t, folder)
    await write(queue, [numbered(3)])
    t.same(await drain(queue), [1, 2, 3])
    await clock.pass(2000)
    t.equal(readFileSync(`${traces}/notes.txt`, 'utf8'), 'mine')
    t.equal(readFileSync(`${traces}/${segmentName(77)}.bak`, 'utf8'), 'mine')
    const aside = readdirSync(traces).filter(name => name.includes('.corrupt-'))
    t.equal(aside.length, 4)
    t.notOk(existsSync(`${traces}/${segmentName(104)}`))
    t.ok(Number.parseInt(segments(folder).at(-1) ?? '', 16) > 104, 'new files are behind all names')
  },
)

t.test('a folder that a newer version has written is refused with a message, and not touched', async t => {
  const folder = await left(t, [1, 2])
  const path = segmentPath(folder)
  const bytes = readFileSync(path)
  const { crc32 } = process.getBuiltinModule('node:zlib')
  bytes.writeUInt16LE(2, 8)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 28)), 28)
  writeFileSync(path, bytes)
  writeFileSync(`${folder}/queue/traces/${segmentName(99)}`, '')
  const before = hash(folder)
  await t.rejects(open(t, folder), { message: /newer version of Pillion has written it \(format 2\); start that one/ })
  t.equal(hash(folder), before)
})

function hash(folder: string): string {
  const all = createHash('sha256')
  for (const name of readdirSync(`${folder}/queue/traces`).sort())
    all.update(name).update(readFileSync(`${folder}/queue/traces/${name}`))
  return all.digest('hex')
}

t.test('a length that no file has is not allocated', async t => {
  for (const length of [2 ** 32 - 1, 2 ** 31, 17 * 1024 * 1024, 16 * 1024 * 1024]) {
    const folder = await left(t, [1, 2, 3])
    const path = segmentPath(folder)
    const bytes = readFileSync(path)
    bytes.writeUInt32LE(length, HEAD + 136 + 4)
    writeFileSync(path, bytes)
    const before = process.memoryUsage().arrayBuffers
    const { queue } = await open(t, folder)
    t.same(await drain(queue), [1, 3])
    t.ok(process.memoryUsage().arrayBuffers - before < 8 << 20)
    await queue[Symbol.asyncDispose]()
  }
})

t.test(
  'bytes inside a payload that look like a record are never one, even when the record around them is damaged',
  async t => {
    const folder = root(t)
    const { queue } = await open(t, folder)
    const inner = Buffer.alloc(64)
    const forged = Buffer.from('<666>'.padEnd(32, '.'))
    writeRecordHead(
      inner,
      0,
      { seq: 2, signal: 'traces', encoding: 'protobuf', compression: 'none', items: 1, seconds: 0 },
      forged,
      0,
    )
    forged.copy(inner, 32)
    await write(queue, [{ signal: 'traces', items: 1, received: 1_750_000_000_000, bytes: inner }, numbered(7)])
    await queue[Symbol.asyncDispose]()
    const path = segmentPath(folder)
    const bytes = readFileSync(path)
    bytes[HEAD + 12]! ^= 1
    writeFileSync(path, bytes)
    const { queue: again } = await open(t, folder)
    t.same(await drain(again), [7])
  },
)

t.test('a payload full of markers costs a bounded time when the record around it is damaged', async t => {
  const folder = root(t)
  const { queue } = await open(t, folder)
  const head = Buffer.alloc(32)
  MARKER.copy(head)
  head.writeUInt32LE(4_000_000, 4)
  const bytes = Buffer.concat(Array.from({ length: 200_000 }, () => head))
  await write(queue, [numbered(1), { signal: 'traces', items: 1, received: 1_750_000_000_000, bytes }, numbered(2)])
  await queue[Symbol.asyncDispose]()
  const path = segmentPath(folder)
  const file = readFileSync(path)
  file[HEAD + 136 + 12]! ^= 1
  writeFileSync(path, file)
  const began = process.cpuUsage()
  const { queue: again, lost } = await open(t, folder)
  t.same((await drain(again)).slice(0, 1), [1])
  const { user, system } = process.cpuUsage(began)
  t.ok(user + system < 20e6, `${(user + system) / 1e3} ms`)
  t.equal(again.held('traces').items, 0)
  t.equal(again.recovered('traces'), 1 + (lost.get('traces corrupt') ?? 0))
})

// Faults that other queues on disk have had, as their issues tell them, with files of ours in the same state.

t.test('like Vector #17644: a write that ended in the middle does not make the reader go round in circles', async t => {
  const folder = await left(t, [1, 2, 3], 1000)
  truncateSync(segmentPath(folder), HEAD + 2 * 1032 + 500)
  const { queue } = await open(t, folder)
  t.same(await drain(queue), [1, 2])
  t.equal(await queue.next('traces'), undefined)
})

t.test(
  'like Vector #18336 and Fluent Bit #5265: a record that cannot be decoded blocks nobody, and stops no start',
  async t => {
    const folder = await left(t, [1, 2, 3])
    const readable = (_: unknown, bytes: Buffer): boolean => !bytes.includes('<2>')
    const { queue, lost } = await open(t, folder, { readable })
    t.same(await drain(queue), [1, 3])
    t.same([...lost], [['traces poison', 1]])
    t.equal(queue.disk().poisoned, 1)
    await queue[Symbol.asyncDispose]()
    t.match(readFileSync(`${folder}/queue/traces/0000000000000002.poison`, 'latin1'), /^<2>/)
    const { queue: again } = await open(t, folder, { readable })
    t.equal(again.recovered('traces'), 0, 'it is not tried again')
  },
)

t.test('like Vector: a queue that was full when it ended is not full for ever', async t => {
  const folder = root(t)
  const { queue } = await open(t, folder, { most: 1 << 20 })
  for (let i = 0; i < 100; i++) await write(queue, [numbered(i, 30_000)])
  await queue[Symbol.asyncDispose]()
  const { queue: again, lost, clock } = await open(t, folder, { most: 1 << 20 })
  const found = await drain(again)
  t.equal(found.at(-1), 99)
  t.equal(found.length, again.recovered('traces'))
  await until(clock, () => segments(folder).length <= 1)
  t.ok(again.room(numbered(1, 500_000)))
  t.same([...lost], [])
})

t.test('like Vector: a request that is larger than any file may be ends no process, and is counted', async t => {
  const { queue, lost } = await open(t, root(t), { most: 64 << 20 })
  queue.append(numbered(1, 17 * 1024 * 1024))
  queue.append(numbered(2))
  await queue.sync()
  t.same([...lost], [['traces queue_full', 1]])
  t.same(await drain(queue), [2])
})

t.test('like Vector PR #25570: a file that is gone while the cursor still expects it is not waited for', async t => {
  const folder = await fiveFiles(t)
  for (const name of segments(folder).slice(0, 2)) rmSync(`${folder}/queue/traces/${name}`)
  writeFileSync(`${folder}/queue/traces/cursor`, cursorText(new Ranges([[1, 1]])))
  const { queue } = await open(t, folder)
  t.same(await drain(queue), range(5, 10))
})

t.test('like Vector #26035: a large queue is not loaded at the start, and a batch at a time is in memory', async t => {
  const folder = root(t)
  const { queue } = await open(t, folder, { most: 256 << 20 })
  for (let i = 0; i < 120; i++) await write(queue, [numbered(i, 800_000)])
  await queue[Symbol.asyncDispose]()
  const before = process.memoryUsage().arrayBuffers
  const { queue: again, memory } = await open(t, folder, { most: 256 << 20 })
  t.equal(memory.used, 0)
  t.ok(process.memoryUsage().arrayBuffers - before < 4 << 20)
  let most = 0
  for (let batch = await again.next('traces'); batch; batch = await again.next('traces')) {
    most = Math.max(most, memory.used)
    again.done(batch)
  }
  t.ok(most <= 4 << 20, `${most}`)
})

t.test('like the Collector on bbolt (#20266, #35899): a file of zeros, or of noise, panics nobody', async t => {
  const folder = await left(t, [1, 2, 3])
  const path = segmentPath(folder)
  const whole = readFileSync(path)
  writeFileSync(`${folder}/queue/traces/${segmentName(50)}`, Buffer.alloc(8192))
  writeFileSync(`${folder}/queue/traces/${segmentName(60)}`, createHash('sha512').update('noise').digest())
  // A file that grew, and whose content never came to the disk.
  appendFileSync(path, Buffer.alloc(4096))
  t.equal(readFileSync(path).length, whole.length + 4096)
  const { queue } = await open(t, folder)
  t.same(await drain(queue), [1, 2, 3])
})

t.test('like vmagent: a state that cannot be read costs itself, and not the queue', async t => {
  const folder = await left(t, [1, 2, 3])
  writeFileSync(`${folder}/queue/traces/cursor`, '{"ReaderOffset":')
  writeFileSync(`${folder}/queue/traces/trying`, '7-')
  const { queue } = await open(t, folder)
  t.same(await drain(queue), [1, 2, 3])
})

t.test('like Fluent Bit #2472: files that are set aside do not come back with each start', async t => {
  const folder = await left(t, [1])
  writeFileSync(`${folder}/queue/traces/${segmentName(50)}`, 'x'.repeat(100))
  for (let i = 0; i < 3; i++) {
    const { queue } = await open(t, folder)
    await queue[Symbol.asyncDispose]()
  }
  t.equal(readdirSync(`${folder}/queue/traces`).filter(name => name.includes('.corrupt-')).length, 1)
})

t.test('unlike Prometheus’ WAL, a bad record in the middle costs itself, and none of the files behind it', async t => {
  const folder = await fiveFiles(t)
  const path = segmentPath(folder, 1)
  const bytes = readFileSync(path)
  bytes[HEAD + 40]! ^= 0xff
  writeFileSync(path, bytes)
  const { queue, lost } = await open(t, folder)
  t.equal(queue.recovered('traces'), 10, 'only its head has been looked at')
  t.same(await drain(queue), [1, 2, ...range(4, 10)])
  t.same([...lost], [['traces corrupt', 1]])
})

t.test('a file that was copied is sent twice at most', async t => {
  const folder = await left(t, [1, 2])
  copyFileSync(segmentPath(folder), `${folder}/queue/traces/${segmentName(500)}`)
  const { queue } = await open(t, folder)
  const found = await drain(queue)
  t.same(new Set(found), new Set([1, 2]))
  t.ok(found.length <= 4)
  t.equal(queue.held('traces').items, 0)
})

t.test(
  'a record in which two processes have ended, one after the other, is set aside; one in which a process ended by chance is not',
  async t => {
    const folder = await left(t, [1, 2, 3])
    /** Ends as a process that is killed while it handles what `next` gave. */
    const end = async (): Promise<number[]> => {
      const { queue } = await open(t, folder)
      const batch = await queue.next('traces')
      const trying = readFileSync(`${folder}/queue/traces/trying`)
      const kept = `${folder}/kept`
      cpSync(`${folder}/queue`, kept, { recursive: true })
      await queue[Symbol.asyncDispose]()
      rmSync(`${folder}/queue`, { recursive: true })
      renameSync(kept, `${folder}/queue`)
      writeFileSync(`${folder}/queue/traces/trying`, trying)
      return batch ? numbers([batch]) : []
    }
    t.same(await end(), [1, 2, 3], 'all together')
    t.same(await end(), [1], 'alone, since one of them may be the cause')
    t.same(await end(), [1], 'once more')
    const { queue, lost } = await open(t, folder)
    const batch = await queue.next('traces')
    t.same(numbers([batch!]), [2, 3])
    t.same([...lost], [['traces poison', 1]])
    // It is handled, and nothing happens; so the end of the process later says nothing about it.
    await new Promise(resolve => setImmediate(resolve))
    t.match(readFileSync(`${folder}/queue/traces/trying`, 'utf8'), /\n-\n$/)
  },
)

t.test('a torn beginning of a new file does not hide the records before it', async t => {
  const folder = await left(t, [1, 2])
  writeFileSync(`${folder}/queue/traces/${segmentName(3)}`, fileHead(1_750_000_000_000, 7).subarray(0, 20))
  const { queue } = await open(t, folder)
  t.same(await drain(queue), [1, 2])
  t.equal(queue.disk().corrupt, 20)
})
