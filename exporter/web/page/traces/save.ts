// A trace as a file: one HTML page that shows it without a sidecar and without a network, to send to a colleague.
//
// The page's own script and style go into it, and the trace as data. Its policy lets nothing else run and nothing be asked:
// scripts and styles need a nonce that is random for each file, and the data cannot hold a "<".

export interface Parts {
  readonly title: string
  readonly script: string
  readonly style: string
  /** JSON, read by the script from the element with the id DATA_ID. */
  readonly data: string
  readonly nonce: string
}

export const DATA_ID = 'pillion-trace'

export function htmlFile({ title, script, style, data, nonce }: Parts): string {
  if (!/^[\w-]{16,}$/.test(nonce)) throw new Error('cannot make a file: the nonce is too short')
  const policy = [
    "default-src 'none'",
    `script-src 'nonce-${nonce}'`,
    `style-src 'nonce-${nonce}'`,
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
  ].join('; ')
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style nonce="${nonce}">${style.replace(/<\/(style)/gi, '<\\/$1')}</style>
</head>
<body>
<div id="page"></div>
<script type="application/json" id="${DATA_ID}">${inert(data)}</script>
<script type="module" nonce="${nonce}">${script.replace(/<\/(script)/gi, '<\\/$1').replace(/<!--/g, '<\\!--')}</script>
</body>
</html>
`
}

/** JSON that ends no element and begins none. */
export function inert(json: string): string {
  return json.replace(/</g, '\\u003c')
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, each => `&#${each.charCodeAt(0)};`)
}
