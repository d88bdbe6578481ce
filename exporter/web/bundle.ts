// The scripts of the page as two files for the browser, named by a hash of their content. esbuild makes them: `npm run
// build` and `npm run executable` once for all, and a sidecar that runs from its sources when somebody first opens the
// page.

import { fileURLToPath } from 'node:url'

export interface Bundle {
  /** Name of each file ("page-ABCDEFGH.js") → its text. */
  readonly files: ReadonlyMap<string, string>
  /** Folders of the packages that are in it, for their licences, from the root of the repository. */
  readonly packages: readonly string[]
}

/** Rejects where esbuild is not installed, and when a source has a fault. */
export async function bundle(): Promise<Bundle> {
  const { build, stop } = await import('esbuild')
  const { outputFiles, metafile } = await build({
    absWorkingDir: fileURLToPath(new URL('../..', import.meta.url)),
    entryPoints: { page: 'exporter/web/page/main.tsx' },
    tsconfigRaw: { compilerOptions: { jsx: 'react-jsx', jsxImportSource: 'preact' } },
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    // Each of them knows light-dark() and trusted types, or is without both and still shows the page.
    target: ['chrome123', 'firefox120', 'safari17.5'],
    charset: 'utf8',
    legalComments: 'none',
    logLevel: 'silent',
    metafile: true,
    write: false,
    outdir: 'page',
    entryNames: '[name]-[hash]',
  })
  // The process of esbuild would stay for as long as the sidecar runs.
  await stop()
  const packages = Object.keys(metafile.inputs).flatMap(
    input => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? [],
  )
  return {
    files: new Map(outputFiles.map(({ path, text }) => [path.slice(path.lastIndexOf('/') + 1), text])),
    packages: [...new Set(packages)],
  }
}
