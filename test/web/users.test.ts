// basic_auth_users: who is asked, what is compared, and what is remembered.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Bcrypt } from '../../exporter/web/bcrypt.ts'
import { type Comparison, Users } from '../../exporter/web/users.ts'
import { clock } from '../../host/clock.ts'
import { FakeClock } from '../world.ts'
import { openServer, parsed, until } from './open.ts'

const basic = (user: string, password: string): string =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`

/** Stands for bcrypt where only the order and the number of comparisons matter: a "hash" is the password in brackets. */
class Counting implements Comparison {
  compared = 0
  atOnce = 0
  most = 0
  readonly #clock: FakeClock | undefined

  constructor(clock?: FakeClock) {
    this.#clock = clock
  }

  async compare(password: string, hash: string): Promise<boolean> {
    this.compared++
    this.most = Math.max(this.most, ++this.atOnce)
    await this.#clock?.sleep(100, new AbortController().signal)
    this.atOnce--
    // For a user that does not exist the comparison says yes, which must not count.
    return hash === `[${password}]` || hash.startsWith('$2y$')
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

t.test('a password is compared once and remembered, whether right or wrong', async t => {
  const bcrypt = new Counting()
  const users = new Users(
    new Map([
      ['alice', '[open]'],
      ['bob', '[sesame]'],
    ]),
    bcrypt,
    { now: () => 0, monotonic: () => 0, sleep: async () => {} },
  )
  const f = async (authorization: string, expected: boolean, compared: number): Promise<void> => {
    t.equal(await users.matches(authorization), expected, authorization)
    t.equal(bcrypt.compared, compared, `${authorization}: comparisons so far`)
  }
  await f(basic('alice', 'open'), true, 1)
  await f(basic('alice', 'open'), true, 1)
  await f(basic('alice', 'shut'), false, 2)
  await f(basic('alice', 'shut'), false, 2)
  await f(basic('bob', 'open'), false, 3)
  await f(basic('bob', 'sesame'), true, 4)
  // CVE-2022-46146: what is remembered of one user and password must not fit another pair.
  await f(basic('alic', 'eopen'), false, 5)
  await f(basic('mallory', 'open'), false, 6)
  await f(basic('mallory', 'open'), false, 6)
  await f(basic('', ''), false, 7)
  await f('Basic', false, 7)
  await f('Basic !!!', false, 7)
  await f('Basic YWxpY2U=', false, 7)
  await f('Bearer YWxpY2U6b3Blbg==', false, 7)
  await users[Symbol.asyncDispose]()
})

t.test('guesses are compared one at a time, with rests, and a queue that is full says so', async t => {
  const time = new FakeClock()
  const bcrypt = new Counting(time)
  const users = new Users(new Map([['alice', '[open]']]), bcrypt, time)
  const answers: (boolean | 'busy')[] = []
  for (let i = 0; i < 20; i++) void users.matches(basic('alice', `guess ${i}`)).then(answer => answers.push(answer))
  await time.pass(0)
  t.same(answers, Array(12).fill('busy'))
  await time.pass(100)
  t.equal(bcrypt.compared, 1, 'the second one waits')
  await time.pass(899)
  t.equal(bcrypt.compared, 1, 'for nine times as long as the first one took')
  await time.pass(7200)
  t.equal(bcrypt.compared, 8)
  t.equal(bcrypt.most, 1)
  t.equal(answers.filter(answer => answer === false).length, 8)
  await users[Symbol.asyncDispose]()
})

t.test('users are asked from everywhere, for all but the two probes', async t => {
  const { default: bcrypt } = await import('bcryptjs')
  const config = `basic_auth_users:\n  alice: ${bcrypt.hashSync('öpen', 4)}\n  bob: ${bcrypt.hashSync('sesame', 4).replace('$2b$', '$2y$')}\n`
  const dir = t.testdir({ 'web.yml': config, token: 't0ken' })
  const options = { config: { file: join(dir, 'web.yml') }, token_file: join(dir, 'token') }
  const { ask, refused } = await openServer(t, { options })
  const f = async (line: string, status: number, ...headers: string[]): Promise<void> => {
    const answer = parsed(await ask(line, ...headers))
    t.equal(answer.status, status, `${line} ${headers.join()}`)
    if (status !== 401) return
    t.match(answer.head, 'WWW-Authenticate: Basic realm="pillion"')
    t.match(answer.head, 'WWW-Authenticate: Bearer realm="pillion"')
  }
  await f('GET /metrics', 401)
  await f('GET /', 401)
  await f('GET /-/healthy', 200)
  await f('GET /-/ready', 200)
  await f('GET /metrics', 200, `Authorization: ${basic('alice', 'öpen')}`)
  await f('GET /metrics', 200, `authorization: ${basic('bob', 'sesame')}`, 'X-Forwarded-For: 192.0.2.7')
  await f('GET /metrics', 401, `Authorization: ${basic('bob', 'öpen')}`)
  await f('GET /metrics', 401, `Authorization: ${basic('eve', 'sesame')}`)
  await f('GET /-/healthy', 401, `Authorization: ${basic('eve', 'sesame')}`)
  await f('GET /metrics', 200, 'Authorization: Bearer t0ken')
  await f('GET /metrics', 401, 'Authorization: Bearer sesame')
  t.equal(await refused('user'), 5)
  t.equal(await refused('token'), 1)
})

t.test('a password that takes long to compare holds up nobody else', async t => {
  const { default: bcrypt } = await import('bcryptjs')
  const config = `basic_auth_users: { alice: '${bcrypt.hashSync('open', 12)}' }\n`
  const { ask } = await openServer(t, {
    options: { config: { file: join(t.testdir({ 'web.yml': config }), 'web.yml') } },
  })
  let done = false
  const slow = ask('GET /metrics', `Authorization: ${basic('alice', 'open')}`).finally(() => {
    done = true
  })
  let meanwhile = 0
  await until(async () => {
    t.equal(parsed(await ask('GET /-/healthy')).status, 200)
    meanwhile++
    return done
  })
  t.equal(parsed(await slow).status, 200)
  t.ok(meanwhile > 3, `${meanwhile} others were answered meanwhile`)
})

t.test(
  'a web configuration that is being written lets nobody in: it is taken when two looks find the same',
  async t => {
    const { default: bcrypt } = await import('bcryptjs')
    const users = (name: string): string => `basic_auth_users: { ${name}: '${bcrypt.hashSync('open', 4)}' }\n`
    const file = join(t.testdir({ 'web.yml': users('alice') }), 'web.yml')
    const rereadMs = 1234
    let looks = 0
    let go = (): void => {}
    const sleep = (ms: number, signal: AbortSignal): Promise<void> => {
      if (ms !== rereadMs) return clock.sleep(ms, signal)
      looks++
      return new Promise((resolve, reject) => {
        go = resolve
        signal.addEventListener('abort', reject, { once: true })
      })
    }
    const { ask } = await openServer(t, {
      host: { clock: { ...clock, sleep } },
      options: { config: { file } },
      limits: { rereadMs },
    })
    const status = async (user: string): Promise<number> =>
      parsed(await ask('GET /metrics', `Authorization: ${basic(user, 'open')}`)).status
    const look = async (): Promise<void> => {
      const before = looks
      go()
      await until(async () => looks > before)
    }
    await until(async () => looks > 0)
    t.equal(await status('alice'), 200)
    t.equal(await status('bob'), 401)

    writeFileSync(file, '')
    await look()
    t.equal(await status('bob'), 401, 'empty, and it may still be written')
    writeFileSync(file, users('bob'))
    await look()
    t.equal(await status('bob'), 401, 'whole, but it was another one before')
    await look()
    t.equal(await status('bob'), 200)
    t.equal(await status('alice'), 401)
  },
)

t.test('the thread that compares ends with the server', async t => {
  const { default: bcrypt } = await import('bcryptjs')
  const thread = new Bcrypt()
  t.equal(await thread.compare('a', bcrypt.hashSync('a', 4)), true)
  t.equal(await thread.compare('b', bcrypt.hashSync('a', 4)), false)
  const hashes = new Map([['alice', bcrypt.hashSync('open', 12)]])
  const users = new Users(hashes, thread, { now: () => 0, monotonic: () => 0, sleep: async () => {} })
  const waiting = [users.matches(basic('alice', 'open')), users.matches(basic('alice', 'shut'))]
  await users[Symbol.asyncDispose]()
  t.same(await Promise.all(waiting), ['busy', 'busy'], 'those that wait are told to ask again')
  await t.rejects(thread.compare('a', 'b'), /its owner has ended it/)
})
