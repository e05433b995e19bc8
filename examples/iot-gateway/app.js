// A gateway for devices: three protocols on four ports, and a page that shows it all live.
import { defineApp, defineTcp, defineUdp, server } from 'sluice'

import { frame, readCommand, readFrame, readTelemetry } from './frames.js'

const devices = defineTcp({
  data(device, data) {
    const message = readFrame(data)
    if (message === undefined) return device.close()
    if (message.hello !== undefined) {
      // The core keeps name and state, through reloads and crashes of workers.
      device.state = { name: message.hello }
      device.bind(message.hello)
      device.send(frame({ welcome: message.hello }))
      tell({ type: 'online', device: message.hello })
    } else if (device.state === undefined) {
      device.close()
    } else {
      tell({ type: 'reading', device: device.state.name, ...message })
    }
  },
  close(device) {
    if (device.state !== undefined && !server.isUidOnline(device.state.name)) tell({ type: 'offline', device: device.state.name })
  },
})

const telemetry = defineUdp({
  packet(data, peer) {
    tell({ type: 'telemetry', from: `${peer.address}:${peer.port}`, at: peer.receivedAt, ...readTelemetry(data) })
  },
})

const operator = defineTcp({
  connect: (terminal) => void terminal.send('Welcome. Commands: devices, send DEVICE JSON, quit\r\n'),
  data(terminal, line) {
    const text = Buffer.from(line).toString()
    const { verb, device, command } = readCommand(text)
    switch (verb) {
      case 'quit':
        return terminal.close()
      case 'devices':
        return void terminal.send(`${online().join(' ') || 'none'}\r\n`)
      case 'send':
        return void terminal.send(command !== undefined && sendCommand(device, command) ? 'sent\r\n' : 'not sent\r\n')
      default:
        return void terminal.send(`Hello: ${text}\r\n`)
    }
  },
})

export default defineApp({
  ports: { console: operator, devices, telemetry },

  async fetch(req, ctx) {
    const { pathname } = ctx.url
    if (req.method === 'GET' && pathname === '/events') return ctx.sse({ topics: ['events'], retry: 1000 }).response
    if (req.method === 'GET' && pathname === '/devices') return Response.json(online())
    const name = /^\/devices\/([\w-]{1,32})$/.exec(pathname)?.[1]
    if (req.method !== 'POST' || name === undefined) return new Response('Nothing is here\n', { status: 404 })
    // Pages of other origins cannot send this type without being asked first.
    if (req.headers.get('content-type') !== 'application/json') return new Response('JSON, please\n', { status: 415 })
    const command = await req.json().catch(() => undefined)
    if (typeof command !== 'object' || command === null) return new Response('An object, please\n', { status: 400 })
    return sendCommand(name, command) ? new Response(null, { status: 202 }) : new Response('Not connected\n', { status: 404 })
  },
})

/** To the device of this name, whichever worker has it. False when it is not connected. */
function sendCommand(name, command) {
  tell({ type: 'command', device: name, command })
  return server.sendToUid(name, frame({ command })) > 0
}

/** The core knows who is connected; no list is kept that could be wrong. */
function online() {
  const port = server.port('devices')
  return [...new Set(port.connections.list().map((id) => server.getConnection(id)?.uid))].filter(Boolean).sort()
}

/** To every page that is open. */
function tell(event) {
  server.publish('events', JSON.stringify(event))
}
