import { availableParallelism } from 'node:os'
import test from 'ava'
import { allCpus, autoReactors, autoWorkers, cgroupCpus } from '../../src-ts/config/parallelism.ts'

/** A file system of a few files. */
const files = (contents: Record<string, string>) => (path: string) => {
  const text = contents[path]
  if (text === undefined) throw new Error(`ENOENT ${path}`)
  return text
}

test('cgroupCpus() is the quota in whole CPUs, rounded down, at least 1', (t) => {
  const quota = (cpuMax: string) => cgroupCpus(files({ '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': cpuMax }))
  t.is(quota('200000 100000\n'), 2)
  t.is(quota('150000 100000\n'), 1)
  t.is(quota('50000 100000\n'), 1)
})

test('cgroupCpus() is no bound without a quota or without cgroup v2', (t) => {
  t.is(cgroupCpus(files({ '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': 'max 100000\n' })), Number.POSITIVE_INFINITY)
  t.is(cgroupCpus(files({ '/proc/self/cgroup': '4:cpu,cpuacct:/docker/x\n' })), Number.POSITIVE_INFINITY)
  t.is(cgroupCpus(files({})), Number.POSITIVE_INFINITY)
})

test('cgroupCpus() takes the smallest quota of the group and those above it', (t) => {
  const read = files({
    '/proc/self/cgroup': '1:name=x:/other\n0::/a.slice/b.scope\n',
    '/sys/fs/cgroup/a.slice/cpu.max': '300000 100000\n',
    '/sys/fs/cgroup/a.slice/b.scope/cpu.max': '800000 100000\n',
  })
  t.is(cgroupCpus(read), 3)
})

test('automatic numbers are at least 1 and at most the CPUs', (t) => {
  t.true(autoWorkers() >= 1 && autoWorkers() <= allCpus())
  t.is(autoReactors(1), 1)
  t.true(autoReactors(1000) <= availableParallelism())
})
