/** The echo of Node.js. */
import { createSocket } from 'node:dgram'

const socket = createSocket('udp4')
socket.on('message', (data, { address, port }) => socket.send(data, port, address))
socket.bind(0, '127.0.0.1', () => console.log(`port ${socket.address().port}`))
