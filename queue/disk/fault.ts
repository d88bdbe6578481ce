// The disk cannot be written any more, or again.

import { codeOf } from './files.ts'
import { ownFolder } from './folder.ts'
import type { LineState } from './state.ts'

export function broken(line: LineState, error: unknown): void {
  const said = line.fault
  line.fault = codeOf(error) ?? 'error'
  if (said === undefined) {
    const { folder, fault } = line
    line.common.log.error('cannot write the queue to disk; it is held in memory until that is possible again', {
      ...{ folder, fault, error },
    })
  }
  line.settle()
  line.common.changed()
}

export function mended(line: LineState): void {
  line.fault = undefined
  line.common.log.info('the queue is written to disk again', { folder: line.folder })
  line.common.changed()
}

/** Somebody has deleted the folder: what is written now must not go to a file without a name. */
export async function makeFolder(line: LineState): Promise<void> {
  line.active = undefined
  line.folderDirty = true
  const { folder } = line
  line.common.log.error('the folder of the queue is gone; what was only in it is lost, and it is made again', {
    folder,
  })
  await ownFolder(folder).catch(() => {})
}
