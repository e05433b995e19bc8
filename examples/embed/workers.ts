// A program that starts worker threads, reloads their code and stops them.
import { createServer } from 'sluice'

const server = await createServer({
  app: new URL('./counter.ts', import.meta.url),
  listen: { port: Number(process.env['PORT'] ?? 5202) },
  workers: 2,
  stateDir: false,
})

server.on('workerError', ({ worker, reason, inflight }) => {
  console.error(`worker ${worker.id} died (${reason}) with ${inflight} requests in hand`)
})
server.on('afterReload', ({ ok, ms }) => {
  console.log(`${ok ? 'reloaded' : 'kept the old code'} in ${Math.round(ms)} ms`)
})

process.on('SIGUSR2', () => void server.reload())
process.once('SIGTERM', () => void server.shutdown())
// Last: who reads it may send a signal at once.
console.log(`listening on ${server.url}`)
