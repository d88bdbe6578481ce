// `npm run generate`: writes the files that are generated from declarations. With --check it only fails if one is stale.

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { generateDashboards } from '../dashboards/generate.ts'
import { jsonSchema } from '../options/jsonschema.ts'
import { optionsMarkdown } from '../options/markdown.ts'
import { parts, settings } from '../parts.ts'
import { metricsMarkdown, partsTable } from '../verbs/metrics.ts'

export const ROOT = join(import.meta.dirname, '..')

const BEGIN = '<!-- collectors:begin -->'
const END = '<!-- collectors:end -->'

/** Path → the text that the file should contain. */
export async function generated(): Promise<ReadonlyMap<string, string>> {
  const files = new Map([
    ['docs/options.md', optionsMarkdown(settings)],
    ['docs/pillion.schema.json', `${JSON.stringify(jsonSchema(settings), null, 2)}\n`],
    ['docs/metrics.md', metricsMarkdown(parts)],
  ])
  for (const { path, text } of await generateDashboards()) files.set(path, text)
  const readme = between(await present('README.md'), partsTable(parts))
  if (readme !== undefined) files.set('README.md', readme)
  return files
}

/** The generated files that are stale. */
export async function stale(): Promise<string[]> {
  const names: string[] = []
  for (const [name, text] of await generated()) if ((await present(name)) !== text) names.push(name)
  return names
}

/** The document with the table between its markers, or undefined if it has none. */
export function between(document: string, table: string): string | undefined {
  const begin = document.indexOf(BEGIN)
  const end = document.indexOf(END)
  if (begin < 0 || end < begin) return undefined
  return `${document.slice(0, begin + BEGIN.length)}\n\n${table}\n\n${document.slice(end)}`
}

async function present(name: string): Promise<string> {
  try {
    return await readFile(join(ROOT, name), 'utf8')
  } catch {
    return ''
  }
}

if (import.meta.main) {
  const names = await stale()
  const check = process.argv.includes('--check')
  if (!check) for (const [name, text] of await generated()) await writeFile(join(ROOT, name), text)
  for (const name of names) console.log(check ? `${name} is stale; run npm run generate` : `wrote ${name}`)
  if (check && names.length > 0) process.exitCode = 1
}
