import test from 'ava'
import type { App, PortHandlers } from '../src-ts/app.ts'
import { handledPorts } from '../src-ts/port-handlers.ts'

const ports = [
  { name: 'main', protocol: 'http' },
  { name: 'admin', protocol: 'http' },
  { name: 'push', protocol: 'websocket' },
] as const
const answer = (): Response => new Response()
const message = (): void => undefined

test('a port has its own handlers, and else those of the app', (t) => {
  const admin: PortHandlers = { fetch: answer }
  const push: PortHandlers = { message }
  const app: App = { fetch: answer, websocket: { message }, ports: { admin, push } }
  const [main, own, sockets] = handledPorts(app, ports)
  t.is(main!.app, app)
  t.is(own!.app, admin)
  t.deepEqual(sockets!.app, { websocket: push })
  t.is(sockets!.app.websocket, push)
})

test('without entries an HTTP port is the app, and a WebSocket port its WebSocket handlers alone', (t) => {
  const app: App = { fetch: answer, websocket: { message } }
  const handled = handledPorts(app, ports)
  t.deepEqual(handled.map((port) => port.app), [app, app, { websocket: app.websocket! }])
})

test('a UDP port has handlers of packets, and nothing else fits', (t) => {
  const packet = (): void => undefined
  const udp = [{ name: 'telemetry', protocol: 'udp' }] as const
  const telemetry = { packet, concurrency: 1 }
  t.is(handledPorts({ ports: { telemetry } }, udp)[0]!.udp, telemetry)
  for (const [given, message] of [
    [undefined, /Port `telemetry` is for packets, and the app has no handlers/],
    [{ message: packet }, /`ports\.telemetry` of the app must be an object with a function `packet`/],
    [packet, /must be an object with a function `packet`/],
    [{ packet, concurrency: 0 }, /`concurrency` must be a whole number from 1 to 65536, got 0/],
  ] as const) {
    t.throws(() => handledPorts({ fetch: answer, ports: given === undefined ? {} : { telemetry: given as never } }, udp), { code: 'ERR_SLUICE_INVALID_ARG', message })
  }
})

test('a function is the app of an HTTP port, and an app with `websocket` fits a WebSocket port', (t) => {
  const app: App = { fetch: answer, ports: { admin: answer, push: { websocket: { message }, fetch: answer } } }
  const [, admin, push] = handledPorts(app, ports)
  t.is(admin!.app.fetch, answer)
  t.is(push!.app.fetch, answer)
})

test('a TCP port has its handlers, and an app that does nothing', (t) => {
  const line = { data: message }
  const [port] = handledPorts({ ports: { line } }, [{ name: 'line', protocol: 'tcp' }])
  t.is(port!.tcp, line)
  t.deepEqual(port!.app, {})
  for (const [given, expected] of [
    [undefined, /Port `line` speaks TCP, and the app has no handlers in `ports\.line`/],
    [{ message }, /`ports\.line\.data` of the app must be a function, got undefined/],
    [{ data: message, connect: 1 }, /`ports\.line\.connect` of the app must be a function, got 1/],
    [{ data: message, concurrency: 0 }, /`ports\.line\.concurrency` of the app must be a whole number from 1 to 65535, got 0/],
  ] as const) {
    const app = { fetch: answer, ports: given === undefined ? {} : { line: given } } as App
    t.throws(() => handledPorts(app, [{ name: 'line', protocol: 'tcp' }]), { instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_ARG', message: expected })
  }
})

const refused: [title: string, app: App, message: RegExp][] = [
  ['an entry without a port', { fetch: answer, ports: { admn: { fetch: answer } } }, /`ports\.admn` of the app has no port of this name in the configuration, did you mean `admin`\?/],
  ['WebSocket handlers for an HTTP port', { fetch: answer, ports: { admin: { message } } }, /`ports\.admin` of the app has WebSocket handlers, but the port speaks HTTP/],
  ['a WebSocket port that nobody handles', { fetch: answer }, /Port `push` is for WebSockets, and the app has handlers neither/],
  ['an app without WebSocket handlers for a WebSocket port', { fetch: answer, ports: { push: { fetch: answer } } }, /`ports\.push` of the app must have WebSocket handlers/],
  ['handlers that are none', { fetch: answer, ports: { push: { message: 5 } as never } }, /`websocket\.message` must be a function, got 5/],
  ['an app that is none', { fetch: answer, websocket: { message }, ports: { admin: {} } }, /An app must be/],
]
for (const [title, app, expected] of refused) {
  test(`handledPorts() refuses ${title}`, (t) => {
    t.throws(() => handledPorts(app, ports), { instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_ARG', message: expected })
  })
}
