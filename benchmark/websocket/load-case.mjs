/** One load case against one running server: what it did, and what it cost the server's threads. */
import { clientCore } from '../support/cores.mjs'
import { openFilesMax, residentBytes, threadTimes, timeBetween } from '../support/threads.mjs'
import { LoadClient } from './load-client.mjs'

/** Open files a runtime needs beside the connections. */
const otherFiles = 100

/**
 * @param {import('../support/server-process.mjs').ServerProcess} server
 * @param {import('./cases.mjs').LoadCase} load
 * @param {{ loadClient: string, seconds: number }} options
 * @returns {Promise<LoadResult>}
 * @typedef {{ rate: number, p50: number, p99: number, max: number, cpu: number, threads: Record<string, number>, rss: number }} LoadResult
 *   rate per second; p50, p99 and max in µs; cpu and threads in µs of CPU per unit; rss in bytes, with every connection open
 */
export async function measureLoad(server, load, { loadClient, seconds }) {
  requireOpenFiles(server, load.connections)
  const options = { args: load.client, port: server.port, connections: load.connections, seconds, core: clientCore }
  const client = LoadClient.start(loadClient, options)
  try {
    await client.ready()
    const before = threadTimes(server.pid)
    const { count, micros, p50, p99, max } = await client.result()
    const spent = timeBetween(server.pid, before, threadTimes(server.pid))
    const perUnit = (ns) => ns / 1000 / Math.max(1, count)
    return {
      rate: count / (micros / 1e6),
      p50,
      p99,
      max,
      cpu: perUnit([...spent.values()].reduce((sum, ns) => sum + ns, 0)),
      threads: Object.fromEntries([...spent].map(([name, ns]) => [name, perUnit(ns)])),
      rss: residentBytes(server.pid)
    }
  } finally {
    await client.end()
  }
}

/** Says so rather than measure how a peer refuses connections. */
export function requireOpenFiles(server, connections) {
  const max = openFilesMax(server.pid)
  if (max < connections + otherFiles) throw new Error(`it may open ${max} files only; ${connections} connections need a higher \`ulimit -n\``)
}
