// The YAML parser's complaints in words of our own. Its messages quote the text that it tripped over, and that text may
// be a secret; besides, it says "implicit keys" where a reader forgot a quote.

import type { ErrorCode } from 'yaml'

export function syntax(code: ErrorCode): string {
  return MESSAGES[code]
}

const INDENT = 'the indentation is wrong; put names of one table at the same column, and close every [ and {'
const COLON = 'a colon where none can be; put a text that holds ": " in quotes, or check the indentation'
const TAG = 'tags such as !name are not supported; remove it'
const ALIAS = 'anchors and aliases (& and *) are not supported; write the value out'

const MESSAGES: Readonly<Record<ErrorCode, string>> = {
  ALIAS_PROPS: ALIAS,
  BAD_ALIAS: ALIAS,
  BAD_COLLECTION_TYPE: TAG,
  BAD_DIRECTIVE: 'lines that begin with % are not supported; remove it',
  BAD_DQ_ESCAPE:
    'an escape that YAML does not know in a text in double quotes; write \\\\ for one \\, or use single quotes',
  BAD_INDENT: INDENT,
  BAD_PROP_ORDER: ALIAS,
  BAD_SCALAR_START: 'a text cannot begin with this character; put it in quotes',
  BLOCK_AS_IMPLICIT_KEY: COLON,
  BLOCK_IN_FLOW: 'lists and tables on lines of their own cannot stand inside [ ] or { }',
  DUPLICATE_KEY: 'is given twice',
  IMPOSSIBLE: 'cannot be read as YAML',
  KEY_OVER_1024_CHARS: 'a name is longer than 1024 characters',
  MISSING_CHAR: 'something is not closed; look for a missing quote, comma, colon or bracket',
  MULTILINE_IMPLICIT_KEY: COLON,
  MULTIPLE_ANCHORS: ALIAS,
  MULTIPLE_DOCS: 'a second document begins; one file is one configuration, so remove "---" and what follows',
  MULTIPLE_TAGS: TAG,
  NON_STRING_KEY: 'must be the name of an option, not a list, a table or an alias',
  RESOURCE_EXHAUSTION: 'is nested too deeply',
  TAB_AS_INDENT: 'a tab in the indentation; use spaces',
  TAG_RESOLVE_FAILED: TAG,
  UNEXPECTED_TOKEN: `something here does not belong; put a text with special characters in quotes, also \${env:NAME} inside { } and [ ]`,
}
