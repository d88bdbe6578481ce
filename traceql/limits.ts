// Limits on what a query may be. They keep every step before the evaluation far below the time that the event loop may be
// held, and bound the recursion over the tree.

export const LIMITS = {
  /** Characters. Grafana's longest queries have a few thousand. */
  length: 16_384,
  /** Parentheses, signs and negations inside each other. */
  depth: 64,
  /** Operators, stages and items of lists, together; so also the groups that are joined by `||`. */
  parts: 500,
  /** Characters of one regular expression. Its compiled size is bounded as well (see options/expression.ts). */
  regex: 1024,
  /** Different regular expressions. */
  regexes: 20,
  /** Keys of `by` in metrics, as in Tempo. */
  by: 5,
  /** Attributes of `select`. */
  select: 50,
} as const
