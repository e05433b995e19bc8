/** A task of ours: delivered by a worker, run by a task worker. */
import { fileURLToPath } from 'node:url'
import { createServer } from '../../../dist/index.js'

export async function open() {
  const app = fileURLToPath(new URL('sluice-app.mjs', import.meta.url))
  const server = await createServer({ app, listen: { port: 0 }, workers: 1, tasks: { workers: 1 }, stateDir: false })
  return {
    measure: (inflight, millis) =>
      new Promise((resolve) => {
        server.on('message', (_from, result) => resolve(result), { once: true })
        server.postMessage(0, { inflight, millis })
      }),
    close: () => server.shutdown()
  }
}
