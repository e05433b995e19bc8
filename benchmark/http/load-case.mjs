/** One load case against one running server: what it did, and what it cost the server's threads. */
import { clientCore } from '../support/cores.mjs'
import { residentBytes, threadTimes, timeBetween } from '../support/threads.mjs'
import { wrk } from './wrk.mjs'

/**
 * @param {import('../support/server-process.mjs').ServerProcess} server
 * @param {import('./cases.mjs').LoadCase} load
 * @param {number} seconds
 * @returns {Promise<LoadResult>}
 * @typedef {{ rps: number, p50: number, p99: number, errors: number, cpu: number, threads: Record<string, number>, rss: number }} LoadResult
 *   p50 and p99 in µs, cpu and threads in µs of CPU per request, rss in bytes
 */
export async function measureLoad(server, load, seconds) {
  const options = { connections: load.connections, core: load.pinned ? clientCore : undefined, load: load.load }
  const url = server.url + load.path
  await wrk(url, { ...options, seconds: 1 })
  const before = threadTimes(server.pid)
  const result = await wrk(url, { ...options, seconds })
  const spent = timeBetween(server.pid, before, threadTimes(server.pid))
  const perRequest = (ns) => ns / 1000 / Math.max(1, result.requests)
  return {
    rps: result.requests / (result.micros / 1e6),
    p50: result.p50,
    p99: result.p99,
    errors: result.socketErrors + result.badStatus,
    cpu: perRequest([...spent.values()].reduce((sum, ns) => sum + ns, 0)),
    threads: Object.fromEntries([...spent].map(([name, ns]) => [name, perRequest(ns)])),
    rss: residentBytes(server.pid)
  }
}
