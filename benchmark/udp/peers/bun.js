/** The echo of Bun. What cannot be sent is thrown, and ends the process: a client that has closed its socket is enough. */
const socket = await Bun.udpSocket({
  hostname: '127.0.0.1',
  port: 0,
  socket: {
    data(socket, data, port, address) {
      try {
        socket.send(data, port, address)
      } catch {}
    },
    error() {}
  }
})
console.log(`port ${socket.port}`)
