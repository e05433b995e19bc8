/** The same bytes to the server of the package `ws` and to ours: the same messages for the app, the same end, the same to read. */
import { once } from 'node:events'
import { connect, type AddressInfo } from 'node:net'
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import test, { type ExecutionContext } from 'ava'
import { defineWebSocket } from 'sluice'
import { type WebSocket, WebSocketServer } from 'ws'

import { portOf } from '../support/server.ts'
import { inline, inTime } from './live-client.ts'

/** The longest message of both servers, in bytes. */
const MESSAGE_MAX = 2_000

/** What a server's app got, in order. */
interface Seen {
  /** Messages, as `text:…` or `binary:…`. */
  readonly messages: string[]
  /** The code of the end, once it was told. */
  readonly closed: Promise<number>
}

/** What can be seen of a server from outside. */
interface Outcome {
  readonly messages: readonly string[]
  /** The close code that the app saw. */
  readonly closed: number
  /** What came back, frame by frame: `opcode fin payload`. */
  readonly frames: readonly string[]
}

interface Subject {
  readonly port: number
  /** What the app of the only connection sees. */
  readonly seen: Seen
}

const kinds = {
  ws: async (t: ExecutionContext): Promise<Subject> => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', maxPayload: MESSAGE_MAX, perMessageDeflate: { threshold: 0, serverNoContextTakeover: true, clientNoContextTakeover: true } })
    t.teardown(() => {
      for (const client of server.clients) client.terminate()
      server.close()
    })
    await once(server, 'listening')
    const messages: string[] = []
    const closed = new Promise<number>((resolve) => {
      server.on('connection', (socket: WebSocket) => {
        socket.on('error', () => undefined)
        socket.on('message', (data: Buffer, isBinary: boolean) => {
          messages.push(`${isBinary ? 'binary' : 'text'}:${data.toString(isBinary ? 'hex' : 'utf8')}`)
          socket.send(data, { binary: isBinary, compress: false })
        })
        socket.on('close', resolve)
      })
    })
    return { port: (server.address() as AddressInfo).port, seen: { messages, closed } }
  },
  sluice: async (t: ExecutionContext): Promise<Subject> => {
    const messages: string[] = []
    let tell!: (code: number) => void
    const closed = new Promise<number>((resolve) => (tell = resolve))
    const websocket = defineWebSocket({
      message: (ws, data) => {
        messages.push(typeof data === 'string' ? `text:${data}` : `binary:${Buffer.from(data).toString('hex')}`)
        ws.send(data, { compress: false })
      },
      close: (_ws, { code }) => tell(code),
      options: { maxPayload: MESSAGE_MAX, compression: { minBytes: 0 } },
    })
    return { port: portOf(await inline(t, { websocket })), seen: { messages, closed } }
  },
}

/** A frame of a client. The mask is not zero, so that unmasking is seen. */
function frame(opcode: number, payload: string | Uint8Array = '', { fin = true, masked = true, reserved = 0, length }: { fin?: boolean; masked?: boolean; reserved?: number; length?: number } = {}): Buffer {
  const bytes = Buffer.from(payload)
  const said = length ?? bytes.length
  const extended = said < 126 ? Buffer.alloc(0) : said < 65_536 ? Buffer.alloc(2) : Buffer.alloc(8)
  if (extended.length === 2) extended.writeUInt16BE(said)
  if (extended.length === 8) extended.writeBigUInt64BE(BigInt(said))
  const mask = masked ? Buffer.from([0x37, 0xfa, 0x21, 0x3d]) : Buffer.alloc(0)
  const head = Buffer.from([(fin ? 0x80 : 0) | (reserved << 4) | opcode, (masked ? 0x80 : 0) | (extended.length === 0 ? said : extended.length === 2 ? 126 : 127)])
  return Buffer.concat([head, extended, mask, masked ? Buffer.from(bytes.map((byte, at) => byte ^ mask[at % 4]!)) : bytes])
}

const text = (payload: string | Uint8Array, options = {}): Buffer => frame(1, payload, options)
const close = (code?: number, reason: string | Uint8Array = ''): Buffer => {
  if (code === undefined) return frame(8)
  const head = Buffer.alloc(2)
  head.writeUInt16BE(code)
  return frame(8, Buffer.concat([head, Buffer.from(reason)]))
}

/** A message compressed as RFC 7692 7.2.1 says: without the last four bytes. */
function deflated(payload: string | Uint8Array): Buffer {
  return deflateRawSync(payload, { finishFlush: 2 }).subarray(0, -4)
}

/** What a server has sent, frame by frame. */
function framesOf(bytes: Buffer): string[] {
  const frames: string[] = []
  for (let at = 0; at + 2 <= bytes.length; ) {
    const [first, second] = [bytes[at]!, bytes[at + 1]!]
    if ((second & 0x80) !== 0) throw new Error('a frame of a server must not be masked')
    const short = second & 0x7f
    const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2))
    const start = at + 2 + (short < 126 ? 0 : short === 126 ? 2 : 8)
    let payload = bytes.subarray(start, start + length)
    if (payload.length < length) break
    if ((first & 0x40) !== 0) payload = inflateRawSync(Buffer.concat([payload, Buffer.from([0, 0, 0xff, 0xff])]), { finishFlush: 2 })
    // Of a close only the code is of the protocol; what is said beside it is up to the server.
    const shown = (first & 0xf) === 8 ? (payload.length < 2 ? 'none' : String(payload.readUInt16BE(0))) : payload.toString('latin1')
    frames.push(`${first & 0xf} ${first >>> 7} ${shown.length > 40 ? `${shown.length} bytes` : shown}`)
    at = start + length
  }
  return frames
}

/** What a client sends; a number waits until so many frames have come. */
type Script = readonly (Buffer | number)[]

/** Sends the bytes, answers a close as a client has to, and gives everything that came. */
async function talk(port: number, script: Script, { cut, leave }: { cut: boolean; leave: boolean }): Promise<Buffer> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  socket.on('error', () => undefined)
  let input = Buffer.alloc(0)
  let isOpen = false
  let isClosing = false
  const rest = [...script]
  const go = (frames: number): void => {
    for (let part = rest[0]; part !== undefined && (typeof part !== 'number' || part <= frames); part = rest[0]) {
      rest.shift()
      if (typeof part === 'number') continue
      if (cut) for (const byte of part) socket.write(Uint8Array.of(byte))
      else socket.write(part)
    }
    if (leave && rest.length === 0) socket.end()
  }
  socket.on('data', (data: Buffer) => {
    input = Buffer.concat([input, data])
    if (!isOpen) {
      const end = input.indexOf('\r\n\r\n')
      if (end < 0) return
      const head = input.toString('latin1', 0, end)
      if (!head.startsWith('HTTP/1.1 101 ') || !/^sec-websocket-extensions: permessage-deflate/im.test(head)) socket.destroy(new Error(head))
      input = input.subarray(end + 4)
      isOpen = true
    }
    const frames = framesOf(input)
    go(frames.length)
    if (isClosing || !frames.some((one) => one.startsWith('8 '))) return
    isClosing = true
    socket.end(close(1000))
  })
  socket.write('GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover\r\n\r\n')
  await inTime('the end of the connection', new Promise((resolve) => socket.on('close', resolve)))
  return input
}

async function outcome({ port, seen }: Subject, script: Script, how: { cut: boolean; leave: boolean }): Promise<Outcome> {
  const input = await talk(port, script, how)
  const closed = await inTime('the end to be told', seen.closed)
  const frames = framesOf(input)
  // To `ws` a connection that it fails itself has ended with 1006, whatever it has told the client; ours says the same to both.
  const told = frames.find((one) => one.startsWith('8 '))?.slice(4)
  return { messages: seen.messages, closed: closed === 1006 && told !== undefined ? Number(told) : closed, frames }
}

/** Named after the sections of RFC 6455 and 7692. Each ends the connection, by a close of its own or by breaking a rule. */
const scripts: Record<string, Script> = {
  '5.2 text, binary, empty': [text('a'), frame(2, Uint8Array.of(0, 255)), text(''), frame(2), 4, close(1000)],
  '5.2 lengths of 125, 126, 127 and 128': [...[125, 126, 127, 128].map((length) => text('x'.repeat(length))), 4, close(1000)],
  '5.2 the longest message that fits': [text('x'.repeat(MESSAGE_MAX)), 1, close(1000)],
  '5.2 a length above the limit': [text('x'.repeat(MESSAGE_MAX + 1))],
  '5.2 an announced length above the limit': [text('', { length: 1_000_000 })],
  '5.2 reserved bit 2': [text('a'), 1, text('b', { reserved: 2 })],
  '5.2 reserved bit 3': [text('b', { reserved: 1 })],
  '5.2 opcode 3': [text('a'), 1, frame(3, 'a')],
  '5.2 opcode 11': [frame(11, 'a')],
  '5.1 a frame that is not masked': [text('a'), 1, text('b', { masked: false })],
  '5.4 fragments': [text('a', { fin: false }), frame(0, 'b', { fin: false }), frame(0, 'c'), 1, close(1000)],
  '5.4 fragments that are empty': [text('', { fin: false }), frame(0, '', { fin: false }), frame(0, ''), 1, close(1000)],
  '5.4 a ping between fragments': [text('a', { fin: false }), frame(9, 'p'), frame(0, 'b'), 2, close(1000)],
  '5.4 a continuation of nothing': [frame(0, 'a')],
  '5.4 a message within a message': [text('a', { fin: false }), text('b')],
  '5.4 fragments above the limit together': [text('x'.repeat(MESSAGE_MAX), { fin: false }), frame(0, 'y')],
  '5.5 a ping in fragments': [frame(9, 'a', { fin: false })],
  '5.5 a ping of 125 bytes': [frame(9, 'x'.repeat(125)), close(1000)],
  '5.5 a ping of 126 bytes': [frame(9, 'x'.repeat(126))],
  '5.5.1 a close without a code': [close()],
  '5.5.1 a close of one byte': [frame(8, Uint8Array.of(3))],
  '5.5.1 a reason of 123 bytes': [close(1000, 'x'.repeat(123))],
  '5.5.1 a reason that is no UTF-8': [close(1000, Uint8Array.of(0xce, 0xba, 0xe1))],
  '5.5.1 frames after the close': [text('a'), 1, close(1000), text('late'), frame(9, 'late')],
  '5.5.2 pings are answered in their order': [frame(9, '1'), frame(9, '2'), frame(9), close(1000)],
  '5.5.3 a pong that nobody asked for': [frame(10, 'x'), text('a'), 1, close(1000)],
  '5.6 text that is no UTF-8': [text(Uint8Array.of(0xff))],
  '5.6 text that ends inside a character': [text(Uint8Array.of(0xe2, 0x82))],
  '5.6 a character over two fragments': [text(Uint8Array.of(0xe2, 0x82), { fin: false }), frame(0, Uint8Array.of(0xac)), 1, close(1000)],
  '5.6 a surrogate in text': [text(Uint8Array.of(0xed, 0xa0, 0x80))],
  ...Object.fromEntries([1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999].map((code) => [`7.4.1 close code ${code}`, [close(code)]])),
  ...Object.fromEntries([0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535].map((code) => [`7.4.1 close code ${code} is refused`, [close(code)]])),
  'RFC 7692 6 a compressed message': [frame(1, deflated('hello '.repeat(50)), { reserved: 4 }), 1, close(1000)],
  'RFC 7692 6 a compressed message in fragments': [frame(1, deflated('hello').subarray(0, 3), { reserved: 4, fin: false }), frame(0, deflated('hello').subarray(3)), 1, close(1000)],
  'RFC 7692 6 a compressed empty message': [frame(1, Uint8Array.of(0), { reserved: 4 }), 1, close(1000)],
  'RFC 7692 6 a bit that says compressed on a continuation': [frame(1, 'a', { fin: false }), frame(0, 'b', { reserved: 4 })],
  'RFC 7692 6 a compressed ping': [frame(9, 'a', { reserved: 4 })],
  'RFC 7692 8 a bomb': [frame(1, deflated('x'.repeat(1_000_000)), { reserved: 4 })],
  'RFC 7692 7.2.2 what cannot be inflated': [frame(1, Uint8Array.of(0xff, 0xff, 0xff), { reserved: 4 })],
}

/** The same script to both. */
async function both(t: ExecutionContext, script: Script, how: { cut?: boolean; leave?: boolean } = {}): Promise<[theirs: Outcome, ours: Outcome]> {
  const { cut = false, leave = false } = how
  return await Promise.all([outcome(await kinds.ws(t), script, { cut, leave }), outcome(await kinds.sluice(t), script, { cut, leave })])
}

for (const [name, script] of Object.entries(scripts)) {
  test(name, async (t) => {
    const [theirs, ours] = await both(t, script)
    t.deepEqual(ours, theirs)
  })
  if (script.some((part) => typeof part !== 'number' && part.length > 300)) continue
  test(`${name}, byte by byte`, async (t) => {
    const [theirs, ours] = await both(t, script, { cut: true })
    t.deepEqual(ours, theirs)
  })
}

test('7.1.1 a message with the close right behind it is answered before the close', async (t) => {
  const [theirs, ours] = await both(t, [Buffer.concat([text('last words'), close(3000)])])
  t.deepEqual(ours, theirs)
})

for (const [name, script] of [
  ['a client that leaves without a word', [text('a'), 1]],
  ['a client that leaves inside a frame', [text('a'), 1, text('bcd').subarray(0, 7)]],
  ['a client that leaves inside a message', [text('a', { fin: false })]],
] as const) {
  test(name, async (t) => {
    const [theirs, ours] = await both(t, script, { leave: true })
    t.deepEqual([ours.messages, ours.closed], [theirs.messages, theirs.closed])
  })
}
