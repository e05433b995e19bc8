// A device: `node device.js NAME [port]`. Sends a temperature every second, and does what it is told: `{"every": 200}`.
import { connect } from 'node:net'

import { frame } from './frames.js'

const [name = 'pump-1', port = '5293'] = process.argv.slice(2)
let every = 1000

const socket = connect(Number(port), '127.0.0.1', () => {
  socket.write(frame({ hello: name }))
  measure()
})
socket.on('error', (error) => console.log(error.message))
socket.on('close', () => process.exit())

let unread = Buffer.alloc(0)
socket.on('data', (data) => {
  unread = Buffer.concat([unread, data])
  while (unread.length >= 2 && unread.length >= 2 + unread.readUInt16BE()) {
    const end = 2 + unread.readUInt16BE()
    const message = JSON.parse(unread.subarray(2, end).toString())
    unread = unread.subarray(end)
    console.log(JSON.stringify(message))
    if (Number.isInteger(message.command?.every) && message.command.every >= 10) every = message.command.every
  }
})

function measure() {
  socket.write(frame({ temperature: Math.round(200 + 50 * Math.sin(Date.now() / 10_000)) / 10 }))
  setTimeout(measure, every)
}
