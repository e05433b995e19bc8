/** A task of ours: delivered by a worker, run by a task worker; or kept in the journal, for it has time. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createServer } from '../../../dist/index.js'

export async function open(what) {
  const app = fileURLToPath(new URL('sluice-app.mjs', import.meta.url))
  const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'))
  const durable = what === 'trip' ? false : { path: join(folder, 'tasks.journal'), fsync: what }
  const server = await createServer({ app, listen: { port: 0 }, workers: 1, tasks: { workers: 1, max: 16_000_000, bytes: 2 ** 31, durable }, stateDir: false })
  return {
    measure: (inflight, millis) =>
      new Promise((resolve) => {
        server.on('message', (_from, result) => resolve(result), { once: true })
        server.postMessage(0, { what, inflight, millis })
      }),
    async close() {
      // What is kept would be run.
      await server.shutdown({ timeout: 1 })
      rmSync(folder, { recursive: true })
    }
  }
}
