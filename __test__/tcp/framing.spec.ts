/** Every framing, from the configuration to the handler, with bytes that come in two pieces. What each does in detail is tested in Rust. */
import test from 'ava'
import type { Framing } from 'sluice'

import { LineClient } from '../support/line-client.ts'
import { startServer } from '../support/server.ts'

const cases: Record<string, { framing?: Framing; sent: string; messages: string[]; isWhole?: boolean }> = {
  raw: { sent: 'abc', messages: ['abc'], isWhole: true },
  lines: { framing: 'lines', sent: 'one\r\ntwo\n', messages: ['one', 'two'] },
  mark: { framing: { eof: Uint8Array.of(0) }, sent: 'one\0two\0', messages: ['one\0', 'two\0'] },
  bare: { framing: { eof: '::', keep: false }, sent: 'one::two::', messages: ['one', 'two'] },
  glued: { framing: { eof: ';', split: false }, sent: 'one;two;', messages: ['one;two;'], isWhole: true },
  long: { framing: { length: 'u32le' }, sent: '\x03\0\0\0one\x03\0\0\0two', messages: ['\x03\0\0\0one', '\x03\0\0\0two'] },
  counted: { framing: { length: 'u8', offset: 1, bodyOffset: 0 }, sent: 'x\x05onex\x05two', messages: ['x\x05one', 'x\x05two'] },
  stripped: { framing: { length: 'i16be', offset: 1, bodyOffset: 4, strip: true }, sent: 'x\0\x03xonex\0\x03xtwo', messages: ['one', 'two'] },
  varint: { framing: 'varint', sent: '\x03one\x83\x00two', messages: ['one', 'two'] },
  netstring: { framing: 'netstring', sent: '3:one,3:two,', messages: ['one', 'two'] },
  mqtt: { framing: 'mqtt', sent: '\xc0\0\x30\x05\0\x01a42', messages: ['\xc0\0', '\x30\x05\0\x01a42'] },
}

test('every framing is what the configuration says', async (t) => {
  const server = await startServer(t, {
    app: new URL('../fixtures/framings.mjs', import.meta.url),
    workers: 1,
    listen: [],
    ports: Object.fromEntries(Object.entries(cases).map(([name, { framing }]) => [name, { protocol: 'tcp' as const, listen: { port: 0 }, framing }])),
  })
  for (const [name, { isWhole = false, messages, sent }] of Object.entries(cases)) {
    const client = await LineClient.connect(t, server, name)
    const bytes = Buffer.from(sent, 'latin1')
    if (!isWhole) client.socket.write(bytes.subarray(0, 2))
    const rest = isWhole ? bytes : bytes.subarray(2)
    // Behind what came before, so that it is another piece for the server.
    await new Promise((resolve) => setImmediate(resolve))
    client.socket.write(rest)
    const read = (await client.lines(messages.length)).map((line) => Buffer.from(line, 'hex').toString('latin1'))
    t.deepEqual(read, messages, name)
  }
})
