// The language: words, precedence, types, and refusals with their places.

import t from 'tap'
import { LIMITS } from '../../../traceql/limits.ts'
import { prepare } from '../../../traceql/prepare.ts'
import { Refusal } from '../../../traceql/refusal.ts'
import { queryText } from '../../../traceql/text.ts'

/** The query as it was understood. */
async function read(query: string): Promise<string> {
  return queryText((await prepare(query)).query)
}

async function refused(query: string): Promise<Refusal> {
  try {
    await prepare(query)
  } catch (error) {
    if (error instanceof Refusal) return error
    throw error
  }
  throw new Error(`accepted: ${query}`)
}

t.test('an attribute goes on until white space or a sign that cannot be in it', async t => {
  t.equal(await read('{ .a-b = 1 }'), '{ .a-b = 1 }')
  t.equal(await read('{ span.a/b*c%d+e.f = 1 }'), '{ span.a/b*c%d+e.f = 1 }')
  t.equal(await read('{.a=1&&.b>2}'), '{ (.a = 1) && (.b > 2) }')
  t.equal((await refused('{ .a - b = 1 }')).column, 8)
  t.equal(await read('{ .a - .b = 1 }'), '{ (.a - .b) = 1 }')
})

t.test('parts of the name of an attribute may be quoted', async t => {
  t.equal(await read('{ span."foo bar".x = 1 }'), '{ span."foo bar.x" = 1 }')
  t.equal(await read('{ .a"\\"\\\\" = 1 }'), '{ ."a\\"\\\\" = 1 }')
  t.match((await refused('{ ."a\\n" = 1 }')).reason, 'only \\" and \\\\ are escapes')
  t.match((await refused('{ ."a = 1 }')).reason, 'does not end')
})

t.test('scopes and intrinsics are those of Tempo', async t => {
  for (const scope of ['span', 'resource', 'event', 'link', 'instrumentation'])
    t.equal(await read(`{ ${scope}.a = 1 }`), `{ ${scope}.a = 1 }`)
  const intrinsics = {
    'span:name': 'name',
    'span:status': 'status',
    'span:statusMessage': 'statusMessage',
    'span:duration': 'duration',
    'span:kind': 'kind',
    'span:id': 'span:id',
    'span:parentID': 'span:parentID',
    'span:childCount': 'span:childCount',
    'trace:duration': 'traceDuration',
    'trace:rootName': 'rootName',
    'trace:rootService': 'rootServiceName',
    'trace:id': 'trace:id',
    'event:name': 'event:name',
    'event:timeSinceStart': 'event:timeSinceStart',
    'link:traceID': 'link:traceID',
    'link:spanID': 'link:spanID',
    'instrumentation:name': 'instrumentation:name',
    'instrumentation:version': 'instrumentation:version',
    nestedSetLeft: 'nestedSetLeft',
    nestedSetRight: 'nestedSetRight',
    nestedSetParent: 'nestedSetParent',
  }
  for (const [written, name] of Object.entries(intrinsics))
    t.equal(await read(`{} | select(${written})`), `{ true }|select(${name})`)
  for (const wrong of ['trace:rootServiceName', 'trace:name', 'span:rootName', 'childCount', 'event:foo'])
    t.match((await refused(`{ ${wrong} = 1 }`)).message, 'line 1, col')
})

t.test('parent is refused by name', async t => {
  for (const [query, column] of [
    ['{ parent.a != 3 }', 3],
    ['{ parent.resource.a && true }', 3],
    ['{ 1 >= parent }', 8],
  ] as const) {
    const { reason, column: at } = await refused(query)
    t.match(reason, 'is not supported')
    t.equal(at, column)
  }
})

t.test('strings have the escapes of Go, and raw strings have none', async t => {
  t.equal(await read('{ .a = "\\t\\x41\\u00e9\\303\\251" }'), '{ .a = `\tAéé` }')
  t.equal(await read('{ .a = `\\t` }'), '{ .a = `\\t` }')
  t.match((await refused('{ .a = "\\q" }')).reason, 'unknown escape "\\\\q"')
  t.match((await refused('{ .a = "x }')).reason, 'the string does not end')
})

t.test('numbers are whole, have a point, or are durations', async t => {
  const cases = {
    '17': '17',
    '9223372036854775807': '9223372036854775807',
    '1e3': '1000.0',
    '.5': '0.5',
    '1234567.0': '1.234567e+06',
    '1h30m': '1h30m0s',
    '1.5s': '1.5s',
    '1d': '24h0m0s',
    '100ms': '100ms',
    '5us': '5µs',
    '10ns': '10ns',
    '-1': '-1',
    '-1.5s': '-1.5s',
  }
  for (const [written, text] of Object.entries(cases))
    t.equal(await read(`{ duration > ${written} }`), `{ duration > ${text} }`)
  for (const wrong of ['9223372036854775808', '0x10', '1e999', '10z', '300y'])
    t.match((await refused(`{ duration > ${wrong} }`)).message, 'line 1, col 14')
})

t.test('comments are skipped', async t => {
  t.equal(await read('{ // one\n .a /* two\n */ = 1 }'), '{ .a = 1 }')
  t.match((await refused('{ .a = 1 } /* x')).reason, 'the comment does not end')
})

t.test('&& and || bind equally, from left to right', async t => {
  t.equal(await read('{ .a || .b && .c }'), '{ (.a || .b) && .c }')
  t.equal(await read('{ .a && .b || .c }'), '{ (.a && .b) || .c }')
  t.equal(await read('{ .a } || { .b } && { .c }'), '(({ .a }) || ({ .b })) && ({ .c })')
  t.equal(await read('{ .a } && { .b } > { .c }'), '({ .a }) && (({ .b }) > ({ .c }))')
})

t.test('the other operators bind as in Tempo', async t => {
  t.equal(await read('{ -.a * 2 = 3 }'), '{ (-(.a * 2)) = 3 }')
  t.equal(await read('{ -.a + 2 = 3 }'), '{ ((-.a) + 2) = 3 }')
  t.equal(await read('{ !.a = .b }'), '{ (!.a) = .b }')
  t.equal(await read('{ .a + .b * .c ^ .d ^ .e = 1 }'), '{ (.a + (.b * (.c ^ (.d ^ .e)))) = 1 }')
  t.equal(await read('{ .a - .b - .c = 1 }'), '{ ((.a - .b) - .c) = 1 }')
  t.equal(await read('{ nil != .a = .b }'), '{ (.a != nil) = .b }')
})

t.test('an expression that does not depend on the span is computed once', async t => {
  t.equal(await read('{ 1 + 1 = 2 }'), '{ true }')
  t.equal(await read('{ "test" =~ "t.*" && .a }'), '{ true && .a }')
  t.equal(await read('{ duration > 1s * 2 }'), '{ duration > 2e+09 }')
  t.equal(await read('{ nil = nil }'), '{ false }')
  t.equal(await read('{ 2 ^ 10 = 1024 }'), '{ true }')
  t.equal(await read('{ 9223372036854775807 + 1 < 0 }'), '{ true }')
  t.equal(await read('{} | count() > 7 - 2 * 2'), '{ true }|(count()) > 3')
  t.match((await refused('{ 1 / 0 = 1 }')).reason, 'division by zero')
})

t.test('nil can be compared with attributes, not with intrinsics or the name of the service', async t => {
  t.equal(await read('{ .a = nil }'), '{ .a = nil }')
  t.equal(await read('{ nil != .a }'), '{ .a != nil }')
  t.equal(await read('{ name != nil }'), '{ name != nil }')
  t.match((await refused('{ name = nil }')).reason, 'name is never nil')
  t.match((await refused('{ resource.service.name = nil }')).reason, 'resource.service.name is never nil')
})

t.test('types that do not fit are refused at the operator', async t => {
  const cases: [query: string, column: number, reason: string][] = [
    ['{ status }', 1, 'the filter must be true or false'],
    ['{ kind = "server" }', 8, 'both sides must have the same type'],
    ['{ status > ok }', 10, '> cannot be used with status'],
    ['{ 1 + "foo" = 1 }', 5, 'both sides must have the same type'],
    ['{ -name = "foo" }', 3, '- cannot be used with name'],
    ['{ name =~ .a }', 8, 'needs a regular expression in quotes'],
    ['{ .a =~ "[" }', 9, 'missing closing ]'],
    ['{ .a =~ "(?=x)" }', 9, 'a look-ahead'],
    ['{} | avg(name) > 1', 6, 'needs numbers'],
    ['{} | max(1) > 1', 6, 'must name an attribute'],
    ['{} | by(1)', 6, 'must name an attribute'],
    ['{} | max(name) > 1', 6, 'needs numbers'],
    ['{} | rate() | topk(0)', 15, 'greater than 0'],
    ['{} | quantile_over_time(duration, 2)', 6, 'not between 0 and 1'],
    ['{} | rate() by (.a,.b,.c,.d,.e,.f)', 32, 'by more than 5 attributes'],
    ['{} | compare({status=error}) | topk(1)', 32, 'cannot follow compare()'],
    ['{} | compare({status=error}, 5, 20, 10)', 6, 'its start'],
  ]
  for (const [query, column, reason] of cases) {
    const refusal = await refused(query)
    t.equal(refusal.column, column, query)
    t.match(refusal.reason, reason, query)
  }
})

t.test('an unsupported word is refused by its name, with line and column', async t => {
  const cases: [query: string, line: number, column: number, reason: string][] = [
    ['{}\n| max(.a) - min(.a) > 3', 2, 11, 'arithmetic with aggregates (-) is not supported'],
    ['min(.a) < max(.b)', 1, 9, 'can only be compared with a constant'],
    ['({} | count()) > ({} | count())', 1, 1, 'comparing the aggregates of pipelines'],
    ['{} | rate() + 1', 1, 13, 'arithmetic with metrics (+) is not supported'],
    ['({} | rate())\n/ ({} | rate())', 1, 1, 'arithmetic with metrics'],
    ['coalesce() | {}', 1, 1, 'coalesce() cannot be the first stage'],
    ['{} | count()', 1, 6, 'must be compared with a number'],
    ['({} | count() > 2) && {}', 1, 23, 'the other must be in parentheses too'],
    ['{} | topk(3)', 1, 6, 'topk can only follow metrics'],
    ['rate()', 1, 1, 'rate needs spans before it'],
    ['{ "é" = foo }', 1, 9, 'unknown word foo'],
    ['', 1, 1, 'the query ends'],
  ]
  for (const [query, line, column, reason] of cases) {
    const refusal = await refused(query)
    t.same([refusal.line, refusal.column], [line, column], query)
    t.match(refusal.message, `line ${line}, col ${column}: `)
    t.match(refusal.reason, reason, query)
  }
})

t.test('combinations of pipelines need parentheses on both sides', async t => {
  t.equal(await read('({} | count() > 1) && ({ .a } | { .b })'), '({ true }|(count()) > 1) && ({ .a }|{ .b })')
  t.equal(await read('({} | { .b }) >> ({ .a })'), '({ true }|{ .b }) >> ({ .a })')
  t.match((await refused('({ .a }) && ({ .a } | { .b })')).reason, 'the other must be one too')
})

t.test('metrics, second stages and hints are read', async t => {
  t.equal(
    await read('{} | quantile_over_time(duration, .5, 1) by (.a, name) | topk(3) with(exemplars=false, a="x")'),
    '{ true } | quantile_over_time(duration,0.50000,1.00000)by(.a,name) | topk(3) with(exemplars=false,a=`x`)',
  )
  t.equal(await read('{} | rate() > 1 | bottomk(2) <= 3'), '{ true } | rate() > 1 | bottomk(2) <= 3')
  t.equal(await read('{} | compare({ status = error }, 5, 10, 20)'), '{ true } | compare({ status = error })')
})

t.test('a query that is too long, too deep or has too many parts is refused', async t => {
  t.match((await refused(`{ .a = "${'x'.repeat(LIMITS.length)}" }`)).reason, 'characters')
  const deep = (n: number): string => `{ ${'('.repeat(n)}.a${')'.repeat(n)} }`
  t.equal(await read(deep(LIMITS.depth - 1)), '{ .a }')
  t.match((await refused(deep(LIMITS.depth + 1))).reason, 'nested more than 64 levels')
  t.match((await refused(`{ ${'-'.repeat(LIMITS.depth + 1)}.a = 1 }`)).reason, 'nested more than')
  t.match((await refused(`${'('.repeat(500)}{}`)).reason, 'nested more than')
  const groups = (n: number): string => `{ ${Array.from({ length: n }, (_, i) => `.a = ${i}`).join(' || ')} }`
  // Each has an operator of its own, and one before it.
  await read(groups(LIMITS.parts / 2 - 1))
  t.match((await refused(groups(LIMITS.parts / 2 + 1))).reason, 'more than 500 operators')
  t.match((await refused(`{ .a =~ "${'a|'.repeat(LIMITS.regex / 2)}b" }`)).reason, '1024 are allowed')
  t.match((await refused(`{ .a =~ "(x?y?z?){300}" }`)).reason, 'too large a regular expression')
  const many = Array.from({ length: LIMITS.regexes + 1 }, (_, i) => `.a =~ "${i}.+"`).join(' || ')
  t.match((await refused(`{ ${many} }`)).reason, 'more than 20 regular expressions')
  t.match((await refused(`{} | select(${'.a,'.repeat(LIMITS.select)}.b)`)).reason, '50 are allowed')
})
