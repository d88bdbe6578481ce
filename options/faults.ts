// Faults of values that were parsed: files that cannot be read, and options that do not fit together. The option kinds and
// the sections bring the checks; here they are called.

import { type Fault, type Field, isList, isSection, type Origins } from './kinds.ts'

/** The faults of a value and of all below it; paths are complete, such as `health.probes[0].url`. */
export async function faults(field: Field, value: unknown, origins: Origins, path = ''): Promise<readonly Fault[]> {
  if (isSection(field)) {
    const values = new Map(Object.entries(value as object)) // a section's value has its fields
    const found: Fault[] = []
    for (const [name, each] of Object.entries(field.fields))
      found.push(...(await faults(each, values.get(name), origins, join(path, name))))
    const own = ((await field.check?.(value, origins)) ?? []).map(fault => ({ ...fault, path: join(path, fault.path) }))
    // An option that is at fault by itself is reported once.
    return [...found, ...own.filter(fault => !found.some(each => each.path === fault.path))]
  }
  // Defaults are good, and verifying them might load a library for nothing.
  if (value === undefined || value === field.default) return []
  if (isList(field)) {
    const items = value as readonly unknown[] // as read.ts made it
    return (
      await Promise.all(items.map((item, index) => faults(field.item, item, origins, `${path}[${index}]`)))
    ).flat()
  }
  if (!field.verify) return []
  try {
    await field.verify(value)
    return []
  } catch (error) {
    const hidden = field.secret || !(error instanceof Error)
    return [{ path, message: hidden ? `must be ${field.expects}` : error.message }]
  }
}

function join(path: string, below: string): string {
  return path && below && !below.startsWith('[') ? `${path}.${below}` : path + below
}
