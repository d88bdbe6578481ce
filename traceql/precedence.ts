// The operators of TraceQL, and how tightly each binds: a higher number binds more tightly.

export const OR = 1
export const COMPARE = 2
export const SUM = 3
export const NOT = 4
export const PRODUCT = 5
export const POWER = 6

export const STRUCTURAL = '> < >> << ~ !> !< !>> !<< !~ &> &< &>> &<< &~'.split(' ')
export const COMPARISONS = '= != < <= > >='.split(' ')

/** Outside of braces: operators between spansets, between aggregates, and between constants. */
export const OUTER = new Map<string, number>([
  ...['&&', '||'].map(text => [text, OR] as const),
  ...[...STRUCTURAL, ...COMPARISONS].map(text => [text, COMPARE] as const),
  ...['+', '-'].map(text => [text, SUM] as const),
  ...['*', '/', '%'].map(text => [text, PRODUCT] as const),
  ['^', POWER],
])

/** Inside of braces. */
export const INNER = new Map<string, number>([
  ...['&&', '||'].map(text => [text, OR] as const),
  ...[...COMPARISONS, '=~', '!~'].map(text => [text, COMPARE] as const),
  ...['+', '-'].map(text => [text, SUM] as const),
  ...['*', '/', '%'].map(text => [text, PRODUCT] as const),
  ['^', POWER],
])
