// The division of descriptors between the listeners.

import t from 'tap'
import { connectionsWithin, openFilesLimit } from '../../host/descriptors.ts'

const WANTED = { web: 64, http: 256, grpc: 64 }

t.test('listeners get the connections that they want where there is room, or where the limit is unknown', async t => {
  t.equal(connectionsWithin(1024, WANTED), WANTED)
  t.equal(connectionsWithin(undefined, WANTED), WANTED)
})

t.test('where there is less, each gives up the same part, and 32 are held back for the sidecar itself', async t => {
  const f = (files: number, web: number, http: number, grpc: number) =>
    t.same(connectionsWithin(files, WANTED), { web, http, grpc }, String(files))
  f(256, 32, 128, 32)
  f(128, 10, 42, 10)
  f(64, 2, 2, 2)
  f(10, 2, 2, 2)
})

t.test('a listener that is to hold one connection holds one', async t => {
  t.same(connectionsWithin(64, { web: 64, http: 1, grpc: 64 }), { web: 2, http: 1, grpc: 2 })
})

t.test('the limit is the one that the kernel tells; without /proc there is none', async t => {
  t.ok((openFilesLimit('/proc') ?? 0) >= 64)
  t.equal(openFilesLimit(t.testdir({})), undefined)
})
