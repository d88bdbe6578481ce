// The row of the file system that holds the working directory of the application.

import * as disk from '../../collectors/disk.ts'
import { chosen, folded, type Row } from '../board.ts'
import { lines } from '../panels.ts'
import { series } from '../query.ts'

export const diskRow: Row = folded(450, 'Disk', [
  lines({
    id: 45,
    title: 'Space on the disk',
    about:
      'What the application can still write to the file system of its working directory (app_disk_available_bytes), against its size. At 0 its writes fail.',
    unit: 'bytes',
    queries: [
      series(chosen.value(disk.available), '{{instance}} available'),
      series(chosen.value(disk.free), '{{instance}} free'),
      series(chosen.value(disk.size), '{{instance}} size'),
    ],
    empty: 'the working directory cannot be read; give the sidecar the application’s user',
    dashed: '.* size',
  }),
  lines({
    id: 46,
    title: 'Inodes',
    about:
      'Files that the file system can still hold (app_disk_free_inodes), against all (app_disk_inodes). At 0 nothing can be created, whatever the space.',
    unit: 'short',
    queries: [
      series(chosen.value(disk.freeInodes), '{{instance}} free'),
      series(chosen.value(disk.inodes), '{{instance}} all'),
    ],
    empty: 'the file system has no fixed number of inodes, or cannot be read',
    dashed: '.* all',
  }),
])
