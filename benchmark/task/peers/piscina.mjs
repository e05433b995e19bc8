/** Piscina with one thread that takes as many tasks at once as are on their way. */
import { fileURLToPath } from 'node:url'
import { Piscina } from 'piscina'
import { loop } from '../loop.mjs'

export default (input) => input

export async function open() {
  const pool = new Piscina({ filename: fileURLToPath(import.meta.url), minThreads: 1, maxThreads: 1, concurrentTasksPerWorker: 64 })
  return { measure: (inflight, millis) => loop(() => pool.run(7), inflight, millis), close: () => pool.destroy() }
}
