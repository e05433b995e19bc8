// By path, because the benchmark is a package of its own; an application imports from 'sluice'.
import { defineApp, defineWebSocket, server } from '../../../dist/index.js'

const echo = defineWebSocket({
  message(socket, data) {
    socket.send(data)
  }
})

const broadcast = defineWebSocket({
  open(socket) {
    socket.subscribe('all')
  },
  message(_socket, data) {
    server.publish('all', data)
  }
})

export default defineApp({ websocket: process.env.BENCHMARK_ANSWER === 'broadcast' ? broadcast : echo })
