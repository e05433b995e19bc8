/** `GET /` over HTTP/2 in plain text, as node:http2 has it: its own API, without the layer of compatibility. Bun runs it, too. */
import { createServer } from 'node:http2'

const server = createServer()
server.on('stream', (stream) => {
  stream.respond({ ':status': 200, 'content-type': 'text/plain;charset=UTF-8', 'content-length': 13 })
  stream.end('Hello, world!')
})
server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`))
