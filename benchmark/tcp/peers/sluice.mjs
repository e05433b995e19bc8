/** One worker, and lines as the other peers have them: with their end. */
import { createServer } from '../../../dist/index.js'

const server = await createServer({
  app: new URL('../apps/sluice.mjs', import.meta.url),
  listen: [],
  ports: { line: { protocol: 'tcp', listen: { host: '127.0.0.1', port: 0 }, framing: { eof: '\n' } } },
  workers: 1,
  stateDir: false
})
console.log(`port ${server.port('line').address.port}`)
