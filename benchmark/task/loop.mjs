/**
 * Round trips for `millis`, `inflight` of them on their way at a time; how many, in how long, and what all threads of this process used for them.
 *
 * @param {() => PromiseLike<unknown>} run
 * @returns {Promise<{ count: number, seconds: number, cpuMicros: number }>}
 */
export async function loop(run, inflight, millis) {
  const cpu = process.cpuUsage()
  const start = performance.now()
  const end = start + millis
  let count = 0
  const line = async () => {
    while (performance.now() < end) {
      await run()
      count++
    }
  }
  await Promise.all(Array.from({ length: inflight }, line))
  const { user, system } = process.cpuUsage(cpu)
  return { count, seconds: (performance.now() - start) / 1000, cpuMicros: user + system }
}
