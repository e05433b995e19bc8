import { createServer } from 'node:net'

const server = createServer({ noDelay: true }, (socket) => {
  let rest = null
  socket.on('data', (chunk) => {
    const data = rest === null ? chunk : Buffer.concat([rest, chunk])
    const end = data.lastIndexOf(10) + 1
    rest = end === data.length ? null : data.subarray(end)
    if (end > 0) socket.write(end === data.length ? data : data.subarray(0, end))
  })
  socket.on('error', () => undefined)
})
server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`))
