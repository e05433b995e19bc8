/** CPU time, memory and limits of a process as the kernel counts them (Linux). */
import { readdirSync, readFileSync } from 'node:fs'

/**
 * Nanoseconds on a CPU so far, by thread. schedstat counts in nanoseconds; utime and stime in /proc/…/stat only
 * in clock ticks, 10 ms here, too coarse for short windows.
 *
 * @returns {Map<string, { name: string, ns: number }>}
 */
export function threadTimes(pid) {
  const times = new Map()
  for (const tid of readdirSync(`/proc/${pid}/task`)) {
    try {
      const ns = Number(readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'latin1').split(' ')[0])
      const name = readFileSync(`/proc/${pid}/task/${tid}/comm`, 'latin1').trim()
      times.set(tid, { name, ns })
    } catch (error) {
      // A thread that ended between the listing and the reading has nothing more to tell.
      if (error.code !== 'ENOENT' && error.code !== 'ESRCH') throw error
    }
  }
  return times
}

/**
 * Nanoseconds spent between two readings, summed by thread name, the largest first. The main thread carries the
 * name of the program in most runtimes, so it is reported as `main`.
 *
 * @returns {Map<string, number>}
 */
export function timeBetween(pid, before, after) {
  const spent = new Map()
  for (const [tid, { name, ns }] of after) {
    const label = tid === String(pid) ? 'main' : name
    spent.set(label, (spent.get(label) ?? 0) + ns - (before.get(tid)?.ns ?? 0))
  }
  return new Map([...spent].sort((a, b) => b[1] - a[1]))
}

/** Resident memory in bytes. */
export function residentBytes(pid) {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))
  return line ? Number(line[1]) * 1024 : Number.NaN
}

/** How many files it may have open: its soft limit now, which most runtimes raise when they start. */
export function openFilesMax(pid) {
  const line = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync(`/proc/${pid}/limits`, 'latin1'))
  return line?.[1] === 'unlimited' ? Infinity : Number(line?.[1])
}
