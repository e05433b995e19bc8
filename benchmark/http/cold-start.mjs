/** From spawning the program to the last byte of its first answer, in milliseconds. */
import { performance } from 'node:perf_hooks'
import { ServerProcess } from '../support/server-process.mjs'

export async function coldStartMillis(peer) {
  const start = performance.now()
  const server = await ServerProcess.start(peer)
  try {
    await (await fetch(`${server.url}/`, { signal: AbortSignal.timeout(10_000) })).text()
    return performance.now() - start
  } finally {
    await server.stop()
  }
}
