// The options in a manifest, read as the sidecar reads them.

import { parseCommandLine } from '../../options/commandline.ts'
import { Names } from '../../options/names.ts'
import { type Options, readOptions, settings } from '../../parts.ts'

/** Fails with everything that is wrong. Variables of others are left out, as a container's environment has them too. */
export async function understood(
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<Options> {
  const line = parseCommandLine(args, new Names(settings))
  const reading = await readOptions({ flags: line.flags, environment })
  const problems = [...line.problems, ...(reading.ok ? [] : reading.problems)].map(({ text }) => text)
  if (!reading.ok || problems.length > 0) throw new Error(problems.join('\n'))
  return reading.values
}

/** The `ENV` and the ports of the image, as the Dockerfile sets them. */
export function imageOf(dockerfile: string): { env: Record<string, string>; ports: number[] } {
  const text = dockerfile.replaceAll(/\\\n/g, ' ')
  const [, variables = ''] = /^ENV (.*)$/m.exec(text) ?? []
  const [, ports = ''] = /^EXPOSE (.*)$/m.exec(text) ?? []
  const env = variables
    .trim()
    .split(/\s+/)
    .map(pair => [pair.split('=', 1)[0]!, pair.slice(pair.indexOf('=') + 1)] as const)
  return { env: Object.fromEntries(env), ports: ports.split(' ').map(Number) }
}
