/** `ws.mjs echo|broadcast` */
import { WebSocketServer } from 'ws'

const broadcasts = process.argv[2] === 'broadcast'
const server = new WebSocketServer({ host: '127.0.0.1', port: 0, backlog: 4096 })

server.on('connection', (socket) => {
  // The client resets its connections; without a listener that would end the process.
  socket.on('error', () => {})
  socket.on('message', (data, binary) => {
    if (!broadcasts) return socket.send(data, { binary })
    for (const client of server.clients) if (client.readyState === client.OPEN) client.send(data, { binary })
  })
})
server.on('listening', () => console.log(`port ${server.address().port}`))
