// systemd accepts the unit, it is hardened as far as its work allows, and the program that it starts exists.

import { chmodSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { missing } from '../e2e/programs.ts'
import { ask, ROOT } from './judges.ts'
import { understood } from './options.ts'

const skip = missing('systemd-analyze', 'systemd')
const UNIT = readFileSync(join(ROOT, 'deploy/systemd/pillion@.service'), 'utf8')

/** A machine with our unit, a shop.service, and systemd's own units, which every unit leans on. */
function machine(folder: string, unit = UNIT): string {
  const units = join(folder, 'etc/systemd/system')
  for (const place of [units, join(folder, 'usr/bin'), join(folder, 'lib/systemd')])
    mkdirSync(place, { recursive: true })
  cpSync('/lib/systemd/system', join(folder, 'lib/systemd/system'), { recursive: true, verbatimSymlinks: true })
  for (const program of ['pillion', 'shop']) {
    writeFileSync(join(folder, 'usr/bin', program), '#!/bin/sh\n')
    chmodSync(join(folder, 'usr/bin', program), 0o755)
  }
  writeFileSync(join(units, 'shop.service'), '[Service]\nExecStart=/usr/bin/shop\n')
  writeFileSync(join(units, 'pillion@.service'), unit)
  return folder
}

const verify = (root: string) =>
  ask('systemd-analyze', ['verify', `--root=${root}`, '--man=no', 'pillion@shop.service'])

t.test('systemd has nothing to say against the unit', { skip }, async t => {
  const { code, stdout, stderr } = await verify(machine(t.testdir({})))
  t.equal(stdout + stderr, '')
  t.equal(code, 0)
})

t.test('and would have, if a setting were misspelt', { skip }, async t => {
  const { stderr } = await verify(machine(t.testdir({}), UNIT.replace('ProtectHome=', 'ProtectHmoe=')))
  t.match(stderr, /ProtectHmoe/)
})

t.test('its exposure is at most 2.0 of 10', { skip }, async t => {
  const root = machine(t.testdir({}))
  const args = ['security', '--offline=yes', '--threshold=20', '--no-pager', `--root=${root}`, 'pillion@shop.service']
  const { code, stdout, stderr } = await ask('systemd-analyze', args)
  t.comment(/Overall exposure.*/.exec(stdout)?.[0])
  t.equal(code, 0, code === 0 ? 'systemd-analyze agrees' : stdout + stderr)
})

t.test('it keeps what reading the application needs', async t => {
  t.match(UNIT, /^ProtectProc=default$/m)
  t.match(UNIT, /^ProcSubset=all$/m)
  t.match(UNIT, /^BindsTo=%i\.service$/m)
  t.notMatch(UNIT, /^(DynamicUser|PrivateUsers|PrivateNetwork|MemoryDenyWriteExecute)=yes$/m)
  t.equal(/^MemoryMax=(\d+)M$/m.exec(UNIT)?.[1], '192')
})

t.test('the sidecar understands its command line', async t => {
  const [, command = ''] = /^ExecStart=\/usr\/bin\/pillion (.*)$/m.exec(UNIT) ?? []
  const options = await understood(command.replaceAll('%i', 'shop').split(' '), {})
  t.equal(options.app.cgroup, '/system.slice/shop.service')
})
