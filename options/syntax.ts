// The YAML parser's errors in our own words. Its messages quote the source, which may be a secret, and speak of "implicit
// keys" where a quote is missing.

import type { ErrorCode } from 'yaml'

export function syntax(code: ErrorCode): string {
  return MESSAGES[code]
}

const INDENT = 'the indentation is wrong; put the names of one mapping in the same column, and close every [ and {'
const COLON = 'a colon where none is allowed; put a string that contains ": " in quotes, or check the indentation'
const TAG = 'tags such as !name are not supported; remove it'
const ALIAS = 'anchors and aliases (& and *) are not supported; write the value out'

const MESSAGES: Readonly<Record<ErrorCode, string>> = {
  ALIAS_PROPS: ALIAS,
  BAD_ALIAS: ALIAS,
  BAD_COLLECTION_TYPE: TAG,
  BAD_DIRECTIVE: 'lines that begin with % are not supported; remove it',
  BAD_DQ_ESCAPE:
    'an escape that YAML does not know in a string in double quotes; write \\\\ for one \\, or use single quotes',
  BAD_INDENT: INDENT,
  BAD_PROP_ORDER: ALIAS,
  BAD_SCALAR_START: 'a string cannot begin with this character; put it in quotes',
  BLOCK_AS_IMPLICIT_KEY: COLON,
  BLOCK_IN_FLOW: 'lists and mappings on lines of their own are not allowed inside [ ] or { }',
  DUPLICATE_KEY: 'is given twice',
  IMPOSSIBLE: 'cannot be read as YAML',
  KEY_OVER_1024_CHARS: 'a name is longer than 1024 characters',
  MISSING_CHAR: 'something is not closed; look for a missing quote, comma, colon or bracket',
  MULTILINE_IMPLICIT_KEY: COLON,
  MULTIPLE_ANCHORS: ALIAS,
  MULTIPLE_DOCS: 'a second document begins; one file is one configuration, so remove "---" and what follows',
  MULTIPLE_TAGS: TAG,
  NON_STRING_KEY: 'must be the name of an option, not a list, a mapping or an alias',
  RESOURCE_EXHAUSTION: 'is nested too deeply',
  TAB_AS_INDENT: 'a tab in the indentation; use spaces',
  TAG_RESOLVE_FAILED: TAG,
  UNEXPECTED_TOKEN: `something here does not belong; put a string with special characters in quotes, also \${env:NAME} inside { } and [ ]`,
}
