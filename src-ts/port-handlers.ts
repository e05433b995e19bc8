/**
 * What an app does with each port of the server. `App.ports` has the same keys as `ports` of the configuration; the addresses of
 * `listen`, and HTTP ports without an entry, are the app's own.
 */
import { type App, type HandledPort, resolveApp } from './app.ts'
import { nearest } from './config/nearest.ts'
import { sluiceTypeError } from './errors.ts'
import type { PortRecord } from './process/messages.ts'
import { type AnyTcpHandlers, checkTcpHandlers } from './tcp/handlers.ts'
import { checkUdpHandlers, type UdpHandlers } from './udp.ts'
import { checkWebSocketHandlers } from './websocket/handlers.ts'

/**
 * Who handles what comes by which port, in the order of the ports.
 *
 * @throws TypeError ERR_SLUICE_INVALID_ARG for handlers that do not fit their port, an entry without a port, and a port that nobody handles
 */
export function handledPorts(app: App, ports: readonly Pick<PortRecord, 'name' | 'protocol'>[]): HandledPort[] {
  const given = new Map(Object.entries(app.ports ?? {}))
  for (const name of given.keys()) {
    if (ports.some((port) => port.name === name)) continue
    const meant = nearest(name, ports.map((port) => port.name))
    throw wrong(`\`ports.${name}\` of the app has no port of this name in the configuration${meant === undefined ? '' : `, did you mean \`${meant}\`?`}`)
  }
  return ports.map(({ name, protocol }) => {
    switch (protocol) {
      case 'http':
        return { protocol, app: appFor(name, given.get(name), app) }
      case 'websocket':
        return { protocol, app: webSocketsFor(name, given.get(name), app) }
      case 'tcp':
        return { protocol, app: NO_APP, tcp: tcpFor(name, given.get(name)) }
      case 'udp':
        return { protocol, app: NO_APP, udp: udpFor(name, given.get(name)) }
    }
  })
}

/** Of ports by which no request comes. */
const NO_APP: App = {}

function appFor(name: string, given: unknown, app: App): App {
  if (given === undefined) return app
  if (isWebSocketHandlers(given)) throw wrong(`\`ports.${name}\` of the app has WebSocket handlers, but the port speaks HTTP: give it \`{ websocket: … }\`, or the port \`protocol: 'websocket'\``)
  return resolveApp(given)
}

function webSocketsFor(name: string, given: unknown, app: App): App {
  if (given === undefined) {
    if (app.websocket !== undefined) return { websocket: app.websocket }
    throw wrong(`Port \`${name}\` is for WebSockets, and the app has handlers neither in \`ports.${name}\` nor in \`websocket\``)
  }
  if (isWebSocketHandlers(given)) return { websocket: checkWebSocketHandlers(given) }
  const resolved = resolveApp(given)
  if (resolved.websocket !== undefined) return resolved
  throw wrong(`\`ports.${name}\` of the app must have WebSocket handlers: an object with \`message\`, or an app with \`websocket\``)
}

function tcpFor(name: string, given: unknown): AnyTcpHandlers {
  if (given === undefined) throw wrong(`Port \`${name}\` speaks TCP, and the app has no handlers in \`ports.${name}\``)
  return checkTcpHandlers(given, `ports.${name}`)
}

function udpFor(name: string, given: unknown): UdpHandlers {
  if (given === undefined) throw wrong(`Port \`${name}\` is for packets, and the app has no handlers in \`ports.${name}\``)
  return checkUdpHandlers(given, `\`ports.${name}\` of the app`)
}

function isWebSocketHandlers(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'message' in value && !('fetch' in value) && !('websocket' in value)
}

function wrong(message: string): Error {
  return sluiceTypeError('ERR_SLUICE_INVALID_ARG', message)
}
