/** Our echo, in one worker thread. */
import { createServer } from '../../../dist/index.js'

const server = await createServer({
  app: new URL('../apps/echo.js', import.meta.url),
  workers: 1,
  listen: [],
  stateDir: false,
  ports: { echo: { protocol: 'udp', listen: { host: '127.0.0.1', port: 0 } } }
})
console.log(`port ${server.port('echo').address.port}`)
