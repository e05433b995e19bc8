/** `bun.js echo|broadcast` */
const broadcasts = process.argv[2] === 'broadcast'

const server = Bun.serve({
  hostname: '127.0.0.1',
  port: 0,
  fetch(request, server) {
    return server.upgrade(request) ? undefined : new Response(null, { status: 426 })
  },
  websocket: {
    open(socket) {
      if (broadcasts) socket.subscribe('all')
    },
    message(socket, data) {
      if (broadcasts) server.publish('all', data)
      else socket.send(data)
    }
  }
})
console.log(`port ${server.port}`)
