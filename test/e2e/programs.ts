// Third-party programs that the end-to-end tests compare with. A test whose program is missing says how to install it.

import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** False if the program is there; otherwise the message of a skip, with the line that installs it. */
export function missing(program: string, debian: string): string | false {
  const folders = program.startsWith('/') ? [''] : (process.env['PATH'] ?? '').split(delimiter)
  const found = folders.some(folder => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
  return found ? false : `needs ${program}: apt-get install ${debian}`
}
