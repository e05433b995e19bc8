const server = Bun.listen({
  hostname: '127.0.0.1',
  port: 0,
  socket: {
    open(socket) {
      socket.data = null
    },
    data(socket, chunk) {
      const data = socket.data === null ? chunk : Buffer.concat([socket.data, chunk])
      const end = data.lastIndexOf(10) + 1
      socket.data = end === data.length ? null : Buffer.from(data.subarray(end))
      if (end > 0) socket.write(end === data.length ? data : data.subarray(0, end))
    }
  }
})
console.log(`port ${server.port}`)
