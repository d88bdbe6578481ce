// The scripts and the style sheet of the page: files that come with the program or, when it runs from its sources, are
// made when the page is first asked for.

import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { ownNames, ownText } from '../../own/files.ts'

export interface Asset {
  readonly type: 'js' | 'css'
  readonly plain: Buffer
  readonly gzip: Buffer
}

export interface Assets {
  /** Their names, which the document at / refers to. */
  readonly script: string
  readonly style: string
  find(name: string): Asset | undefined
}

/** Where `npm run build` and `npm run executable` put them. */
export const FOLDER = 'dist/page'

const NAME = /^page-\w+\.(js|css)$/

/** Rejects when they are missing, and cannot be made either. */
export async function openAssets(): Promise<Assets> {
  const texts = await read()
  const found = new Map<string, Asset>()
  for (const [name, text] of texts) {
    const [, type] = NAME.exec(name) ?? []
    if (type !== 'js' && type !== 'css') continue
    const plain = Buffer.from(text)
    found.set(name, { type, plain, gzip: await compress(plain, { level: 9 }) })
  }
  const named = (type: Asset['type']): string => {
    const [name] = [...found].find(([, asset]) => asset.type === type) ?? []
    if (name === undefined)
      throw new Error(`cannot find the page: ${FOLDER} has no .${type} file; install Pillion again`)
    return name
  }
  return { script: named('js'), style: named('css'), find: name => found.get(name) }
}

const compress = promisify(gzip)

async function read(): Promise<ReadonlyMap<string, string>> {
  // From its sources: what was built before may be older than they are.
  if (import.meta.url.endsWith('.ts')) return (await (await import('./bundle.ts')).bundle()).files
  return new Map(ownNames(FOLDER).map(name => [name, ownText(`${FOLDER}/${name}`) ?? '']))
}
