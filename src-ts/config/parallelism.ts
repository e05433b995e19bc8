import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

/** More workers than this leave no free slots for the second set that a reload needs (the core has 256). */
export const workersMax = 120

/** More reactors than this only split the connections; the record format could name 256. */
export const reactorsMax = 64

/** The number of workers for `workers: 'auto'`: the CPUs this process may use, of which the cgroup's quota may leave fewer. */
export function autoWorkers(): number {
  return Math.min(allCpus(), cgroupCpus())
}

/** The number of workers for `workers: 'max'`: every CPU this process may run on, whatever the quota. */
export function allCpus(): number {
  return Math.min(availableParallelism(), workersMax)
}

/**
 * The number of reactors for `core.threads: 'auto'`. One per worker, as each can then be paired with a worker, but never more
 * than CPUs: a reactor that waits for a CPU delays every connection it owns.
 */
export function autoReactors(workers: number): number {
  return Math.max(1, Math.min(workers, availableParallelism(), reactorsMax))
}

/**
 * Whole CPUs the cgroup v2 quota allows, at least 1; `Infinity` where there is none.
 * Rounded down: with a quota of 1.5 a second busy thread would spend a quarter of each period throttled.
 */
export function cgroupCpus(readText: (path: string) => string = (path) => readFileSync(path, 'utf8')): number {
  let cpus = Number.POSITIVE_INFINITY
  for (const directory of cgroupDirectories(readText)) {
    const [quota, period] = textOr(readText, `/sys/fs/cgroup${directory}/cpu.max`, 'max 100000').trim().split(' ').map(Number)
    if (quota && period) cpus = Math.min(cpus, Math.max(1, Math.floor(quota / period)))
  }
  return cpus
}

/** The process's cgroup and all above it: each may have a quota, and the smallest counts. In a container only the root is visible. */
function cgroupDirectories(readText: (path: string) => string): string[] {
  const own = /^0::(\/.*)$/m.exec(textOr(readText, '/proc/self/cgroup', ''))?.[1] ?? '/'
  const names = own.split('/').filter((name) => name !== '')
  return names.reduce((directories, name) => [...directories, `${directories.at(-1)}/${name}`], [''])
}

function textOr(readText: (path: string) => string, path: string, otherwise: string): string {
  try {
    return readText(path)
  } catch {
    return otherwise
  }
}
