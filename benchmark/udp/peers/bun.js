/** The echo of Bun. */
const socket = await Bun.udpSocket({
  hostname: '127.0.0.1',
  port: 0,
  socket: { data: (socket, data, port, address) => void socket.send(data, port, address) }
})
console.log(`port ${socket.port}`)
