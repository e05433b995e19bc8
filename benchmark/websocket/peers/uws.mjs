/** `uws.mjs echo|broadcast` */
import uws from '@rjweb/uws'

const broadcasts = process.argv[2] === 'broadcast'
const app = uws.App()

app.ws('/*', {
  compression: uws.DISABLED,
  maxPayloadLength: 1024 * 1024,
  open(socket) {
    if (broadcasts) socket.subscribe('all')
  },
  message(socket, data, isBinary) {
    if (broadcasts) app.publish('all', data, isBinary)
    else socket.send(data, isBinary)
  }
})
app.listen('127.0.0.1', 0, (socket) => console.log(`port ${uws.getSocketPort(socket)}`))
