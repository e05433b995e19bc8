import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { parseConfig, toNativeConfig, type Config } from '../src-ts/options.ts'

const source = join(process.cwd(), 'sluice.config.js')
const codeAndMessage = (message: string) => ({ instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_OPTION', message })

const refuses = test.macro({
  exec(t, input: unknown, message: string) {
    t.throws(() => parseConfig(input, source), codeAndMessage(message))
  },
  title: (_, _input, message) => `parseConfig() says: ${message}`,
})

test(refuses, { worker: 2 }, 'unknown option `worker` in sluice.config.js, did you mean `workers`?')
test(refuses, { limits: { bodybyte: 1 } }, 'unknown option `limits.bodybyte` in sluice.config.js, did you mean `limits.bodyBytes`?')
test(refuses, { listen: [{ port: 1 }, { prt: 1 }] }, 'unknown option `listen[1].prt` in sluice.config.js, did you mean `listen[1].port`?')
test(refuses, { listen: { path: 'a', hots: 1 } }, 'unknown option `listen.hots` in sluice.config.js')
test(refuses, { reload: { rollback: { errors: 1, withn: 2 } } }, 'unknown option `reload.rollback.withn` in sluice.config.js, did you mean `reload.rollback.within`?')
test(refuses, { lifecycle: { wrokerStart() {} } }, 'unknown option `lifecycle.wrokerStart` in sluice.config.js, did you mean `lifecycle.workerStart`?')
test(refuses, { qqqqqqqq: 1 }, 'unknown option `qqqqqqqq` in sluice.config.js')
test(refuses, { limits: { bodyBytes: '4MB' } }, 'limits.bodyBytes must be a whole number of bytes ≥ 0, got "4MB" (in sluice.config.js)')
test(refuses, { limits: { bodyBytes: -1 } }, 'limits.bodyBytes must be a whole number of bytes ≥ 0, got -1 (in sluice.config.js)')
test(refuses, { limits: { bodyBytes: 1.5 } }, 'limits.bodyBytes must be a whole number of bytes ≥ 0, got 1.5 (in sluice.config.js)')
test(refuses, { limits: { bodyBytes: Number.NaN } }, 'limits.bodyBytes must be a whole number of bytes ≥ 0, got NaN (in sluice.config.js)')
test(refuses, { limits: { pipeline: 0 } }, 'limits.pipeline must be a whole number ≥ 1, got 0 (in sluice.config.js)')
test(refuses, { limits: { pipeline: 257 } }, 'limits.pipeline must be a whole number ≤ 256, got 257 (in sluice.config.js)')
test(refuses, { limits: { sendBufer: 1 } }, 'unknown option `limits.sendBufer` in sluice.config.js, did you mean `limits.sendBuffer`?')
test(refuses, { limits: { lowWatermark: 1 } }, 'unknown option `limits.lowWatermark` in sluice.config.js, did you mean `limits.lowWaterMark`?')
test(refuses, { limits: { highWaterMark: 9, lowWaterMark: 9 } }, 'limits.lowWaterMark must be less than highWaterMark (9), got 9 (in sluice.config.js)')
test(refuses, { limits: { lowWaterMark: 838_860 } }, 'limits.lowWaterMark must be less than highWaterMark (838860), got 838860 (in sluice.config.js)')
test(refuses, { limits: { allowOrigins: '*' } }, 'limits.allowOrigins must be a list of origins, got "*" (in sluice.config.js)')
test(refuses, { limits: { allowOrigins: Array.from({ length: 257 }, () => '*') } }, 'limits.allowOrigins must have at most 256 origins, got a list (in sluice.config.js)')
test(refuses, { heartbeat: { pingTimeout: 1 } }, 'unknown option `heartbeat.pingTimeout` in sluice.config.js, did you mean `heartbeat.pongTimeout`?')
test(refuses, { heartbeat: { ping: 0 } }, 'heartbeat.ping must be a whole number of milliseconds ≥ 1 or false, got 0 (in sluice.config.js)')
test(refuses, { heartbeat: { pongTimeout: false } }, 'heartbeat.pongTimeout must be a whole number of milliseconds ≥ 1, got false (in sluice.config.js)')
test(refuses, { topics: { history: { message: 1 } } }, 'unknown option `topics.history.message` in sluice.config.js, did you mean `topics.history.messages`?')
test(refuses, { topics: { history: { messages: 65_537 } } }, 'topics.history.messages must be a whole number ≤ 65536, got 65537 (in sluice.config.js)')
test(refuses, { topics: { historyBytes: 2 ** 32 } }, 'topics.historyBytes must be a whole number of bytes ≤ 4294967295, got 4294967296 (in sluice.config.js)')
test(refuses, { maxWaitTime: 2 ** 31 }, 'maxWaitTime must be a whole number of milliseconds ≤ 2147483647, got 2147483648 (in sluice.config.js)')
test(refuses, { workers: 0 }, 'workers must be a whole number from 1 to 120 or "auto" or "max", got 0 (in sluice.config.js)')
test(refuses, { workers: 'all' }, 'workers must be a whole number from 1 to 120 or "auto" or "max", got "all" (in sluice.config.js)')
test(refuses, { stuckAfter: 0 }, 'stuckAfter must be a whole number of milliseconds ≥ 1 or false, got 0 (in sluice.config.js)')
test(refuses, { listen: {} }, 'listen.port is required in sluice.config.js')
test(refuses, { listen: { port: 65_536 } }, 'listen.port must be a port number from 0 to 65535, got 65536 (in sluice.config.js)')
test(refuses, { listen: 5200 }, 'listen must be { port }, { path } or { fd }, got 5200 (in sluice.config.js)')
test(refuses, { listen: [] }, 'listen must have at least one address, or ports at least one port, got a list (in sluice.config.js)')
test(refuses, { core: [] }, 'core must be an object, got a list (in sluice.config.js)')
test(refuses, { tcp: null }, 'tcp must be an object, got null (in sluice.config.js)')
test(refuses, { app: 5 }, 'app must be a path or a file: URL, got 5 (in sluice.config.js)')
test(refuses, { name: 'a b' }, 'name must be 1 to 64 letters, digits and . _ @ + -, got "a b" (in sluice.config.js)')
test(refuses, { cleaners: [1] }, 'cleaners[0] must be a function, got 1 (in sluice.config.js)')
test(refuses, { serverHeader: 'a\r\nb: c' }, 'serverHeader must be false or 1 to 256 characters of printable ASCII without blanks around them, got "a\\r\\nb: c" (in sluice.config.js)')
test(refuses, { log: { level: 'loud' } }, 'log.level must be "trace" or "debug" or "info" or "warn" or "error", got "loud" (in sluice.config.js)')
test(refuses, { tasks: { worker: 1 } }, 'unknown option `tasks.worker` in sluice.config.js, did you mean `tasks.workers`?')
test(refuses, { tasks: { workers: 121 } }, 'tasks.workers must be a whole number ≤ 120, got 121 (in sluice.config.js)')
test(refuses, { tasks: { concurrency: 0 } }, 'tasks.concurrency must be a whole number ≥ 1, got 0 (in sluice.config.js)')
test(refuses, { tasks: { files: [1] } }, 'tasks.files[0] must be a string, got 1 (in sluice.config.js)')
test(refuses, { tasks: { queues: [] } }, 'tasks.queues must be an object of queues by name, got a list (in sluice.config.js)')
test(refuses, { tasks: { queues: { mail: { rate: { limit: 1 } } } } }, 'tasks.queues.mail.rate.per is required in sluice.config.js')
test(refuses, { tasks: { queues: { default: { workers: 1 } } } }, 'tasks.queues must not give workers to "default": those are `tasks.workers`, got { default: [Object] } (in sluice.config.js)')
test(refuses, 'app.js', 'the configuration must be an object, got "app.js" (in sluice.config.js)')

for (const key of ['sid', 'cookie:', 'cookie:a b', 'header:a:b', 'query:a=b', 'path:256', 'path:-1', 'path:+1', `query:${'a'.repeat(257)}`]) {
  test(`parseConfig() refuses the dispatch key ${JSON.stringify(key.slice(0, 20))}`, (t) => {
    t.throws(() => parseConfig({ dispatch: { key } }), { code: 'ERR_SLUICE_INVALID_OPTION', message: /^dispatch must be "least-requests", .* or \{ key: "cookie:NAME"/ })
  })
}
for (const key of ['cookie:sid', 'header:X-Room', 'query:a%20b', 'path:0', 'path:255', `query:${'a'.repeat(256)}`]) {
  test(`parseConfig() takes the dispatch key ${JSON.stringify(key.slice(0, 20))}`, (t) => {
    t.deepEqual(parseConfig({ dispatch: { key } }).ports[0]!.dispatch, { key } as never)
  })
}

for (const origin of ['', 'example.com', 'https://', 'https://example.com/', 'https://example.com:443', 'http://u@example.com', 'https://exämple.com', 'https://a b', 'https://a?b', `https://${'a'.repeat(505)}`, 5]) {
  test(`parseConfig() refuses the origin ${JSON.stringify(origin).slice(0, 30)}`, (t) => {
    t.throws(() => parseConfig({ limits: { allowOrigins: ['*', origin] } }), {
      code: 'ERR_SLUICE_INVALID_OPTION',
      message: /^limits\.allowOrigins\[1\] must be "\*" or an origin as browsers send it/,
    })
  })
}
for (const origin of ['*', 'null', 'https://example.com', 'https://Example.com', 'http://[::1]:5200', 'http://localhost:3000', 'chrome-extension://abc', `https://${'a'.repeat(504)}`]) {
  test(`parseConfig() takes the origin ${origin.slice(0, 30)}`, (t) => {
    t.deepEqual(parseConfig({ limits: { allowOrigins: [origin] } }).ports[0]!.limits.allowOrigins, [origin])
  })
}

test('parseConfig() names no file when there is none', (t) => {
  t.throws(() => parseConfig({ worker: 1 }), codeAndMessage('unknown option `worker`, did you mean `workers`?'))
})

test('parseConfig() treats undefined as not given', (t) => {
  const given: Config = { workers: undefined, limits: undefined, hooks: { requestReceived: undefined }, log: { file: undefined } }
  t.deepEqual(parseConfig(given), parseConfig({}))
})

test('parseConfig() gives a frozen result and leaves its argument as it was', (t) => {
  const input = { limits: { pipeline: 1 }, listen: { port: 0 } }
  const config = parseConfig(input)
  t.true(Object.isFrozen(config) && Object.isFrozen(config.ports) && Object.isFrozen(config.ports[0]) && Object.isFrozen(config.ports[0]!.limits) && Object.isFrozen(config.ports[0]!.listen))
  t.false(Object.isFrozen(input.limits))
  t.deepEqual(input, { limits: { pipeline: 1 }, listen: { port: 0 } })
})

test('parseConfig() of its own result gives that result', (t) => {
  const config = parseConfig({ stuckAfter: false, listen: { path: 'a.sock' } }, source)
  t.is(parseConfig(config), config)
})

test('paths start from root, and root from the directory of the file', (t) => {
  const config = parseConfig({ root: 'current', listen: { path: 'run/a.sock' }, log: { file: 'a.log' }, app: 'app.js' }, '/srv/sluice.config.js')
  t.is(config.root, '/srv/current')
  t.deepEqual(config.ports.map(({ listen }) => listen), [{ path: '/srv/current/run/a.sock' }])
  t.is(config.log.file, '/srv/current/a.log')
  t.is(config.app, 'app.js')
  t.is(config.stateDir, '/srv/.sluice')
})

test('requestTimeout.hard and limits.answerTimeout are one deadline', (t) => {
  t.is(parseConfig({ limits: { answerTimeout: 5 } }).requestTimeout.hard, 5)
  t.is(parseConfig({ requestTimeout: { hard: 7 }, limits: { answerTimeout: 5 } }).ports[0]!.limits.answerTimeout, 7)
})

test('the water marks follow sendBuffer unless they are given', (t) => {
  const marks = (limits: Config['limits']) => {
    const { highWaterMark, lowWaterMark } = parseConfig({ limits }).ports[0]!.limits
    return [highWaterMark, lowWaterMark]
  }
  t.deepEqual(marks({}), [838_860, 262_144])
  t.deepEqual(marks({ sendBuffer: 1024 }), [819, 256])
  t.deepEqual(marks({ highWaterMark: 100 }), [100, 50])
  t.deepEqual(marks({ highWaterMark: 2 }), [2, 1])
  t.deepEqual(marks({ lowWaterMark: 1 }), [838_860, 1])
  t.deepEqual(marks({ highWaterMark: 9, lowWaterMark: 8 }), [9, 8])
})

test('recycle.grace is half of requests beyond 10, unless it is given', (t) => {
  const grace = (recycle: Config['recycle']) => parseConfig({ recycle }).recycle.grace
  t.is(grace({ requests: 10 }), 0)
  t.is(grace({ requests: 11 }), 5)
  t.is(grace({ requests: 1000, grace: 3 }), 3)
})

test('lifecycle takes one hook or a list and gives lists', (t) => {
  const hook = () => {}
  const { lifecycle } = parseConfig({ lifecycle: { workerStart: hook, workerStop: [hook, hook] } })
  t.deepEqual([lifecycle.workerStart, lifecycle.workerStop, lifecycle.serverStart], [[hook], [hook, hook], []])
})

const rust = readFileSync(new URL('../crates/sluice-core/src/config.rs', import.meta.url), 'utf8')

/** `header_bytes` → `headerBytes`. */
const camelCase = (name: string) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())

function rustFields(struct: string): string[] {
  const body = new RegExp(`pub struct ${struct} \\{(.*?)\\n\\}`, 's').exec(rust)?.[1] ?? ''
  return [...body.matchAll(/^ {4}pub (\w+):/gm)].map((match) => camelCase(match[1] as string))
}

function rustDefaults(struct: string): Record<string, number | boolean> {
  const body = new RegExp(`impl Default for ${struct} \\{.*?Self \\{(.*?)\\n {8}\\}`, 's').exec(rust)?.[1] ?? ''
  const rows = [...body.matchAll(/(\w+): ([\w *]+),/g)].map(([, name, value]) => [camelCase(name as string), rustValue(value as string)] as const)
  return Object.fromEntries(rows)
}

const rustValue = (text: string): number | boolean =>
  text === 'true' || text === 'false' ? text === 'true' : text.replaceAll('_', '').split('*').reduce((product, factor) => product * Number(factor), 1)

test('the native configuration has every field of the core, and no other', (t) => {
  const native = JSON.parse(toNativeConfig(parseConfig({})))
  // The rule of dispatch is said for each port.
  t.deepEqual(Object.keys(native).sort(), rustFields('ServerConfig').filter((field) => field !== 'dispatch').sort())
  const portFields = rustFields('PortConfig').filter((field) => field !== 'fixedAnswer' && field !== 'udp')
  t.deepEqual(Object.keys(native.ports[0]).sort(), portFields.sort())
  t.deepEqual(Object.keys(native.ports[0].limits).sort(), rustFields('Limits').sort())
  t.deepEqual(Object.keys(native.ports[0].heartbeat).sort(), rustFields('Heartbeat').sort())
  t.deepEqual(Object.keys(native.ports[0].tcp).sort(), rustFields('TcpConfig').sort())
  const [, udp] = JSON.parse(toNativeConfig(parseConfig({ ports: { udp: { protocol: 'udp', listen: { port: 0 } } } }))).ports
  t.deepEqual(Object.keys(udp).sort(), [...portFields, 'udp'].sort())
  t.deepEqual(udp.udp, { ...rustDefaults('UdpConfig'), multicast: [] })
  t.deepEqual(Object.keys(udp.udp).sort(), rustFields('UdpConfig').sort())
  t.deepEqual(Object.keys(native.topics).sort(), rustFields('TopicsConfig').sort())
  t.deepEqual(Object.keys(native.topics.history).sort(), rustFields('HistoryConfig').sort())
  t.deepEqual(Object.keys(native.replay).sort(), rustFields('ReplayConfig').sort())
})

test('the defaults are those of the core', (t) => {
  const native = JSON.parse(toNativeConfig(parseConfig({})))
  // 64 KiB, of which the core's 16-bit offsets hold 65 535 bytes.
  t.true(rust.includes('header_bytes: HEADER_BYTES_MAX,') && rust.includes('HEADER_BYTES_MAX: u32 = u16::MAX as u32'))
  t.true(rust.includes('allow_origins: Vec::new(),'))
  t.deepEqual(native.ports[0].limits, { ...rustDefaults('Limits'), headerBytes: 65_536, allowOrigins: [] })
  t.deepEqual(native.ports[0].heartbeat, rustDefaults('Heartbeat'))
  t.deepEqual(native.topics, { ...rustDefaults('TopicsConfig'), history: rustDefaults('HistoryConfig') })
  t.deepEqual(native.ports[0].tcp, rustDefaults('TcpConfig'))
  t.deepEqual(native.replay, rustDefaults('ReplayConfig'))
  t.is(native.stuckAfter, Number(/fn stuck_after_ms\(\) -> u64 \{\s*([\d_]+)/.exec(rust)?.[1]?.replaceAll('_', '')))
  t.is(native.ports[0].dispatch, 'least-requests')
  t.is(native.ports[0].protocol, 'http')
  t.is(native.serverHeader, null)
})

const rangesOfCore = readFileSync(new URL('../crates/sluice-core/src/config/check.rs', import.meta.url), 'utf8')
const bounds: Record<string, number> = { MILLIS_MAX: 2 ** 31 - 1, RATE_MAX: 1_000_000, GIB: 2 ** 30, HANDLES_MAX: 2 ** 24 - 1, 'u32::MAX.into()': 2 ** 32 - 1, 'HEADER_BYTES_MAX.into()': 65_535 }
const rangeRows = [...rangesOfCore.matchAll(/\(\s*"(\w+)",\s*self\.\w+(?:\.into\(\))?,\s*(\d+)\.\.=([\w:]+(?:\.into\(\))?),?\s*\),\n/g)].map(([, name, first, last]) => ({
  name: name as string,
  first: Number(first),
  last: bounds[last as string] ?? Number(last),
}))

test('every limit is taken at the bounds of the core and refused beyond', (t) => {
  t.deepEqual(rangeRows.map(({ name }) => name).sort(), rustFields('Limits').filter((name) => name !== 'allowOrigins').sort())
  for (const { name, first, last: lastOfCore } of rangeRows) {
    // 64 KiB is taken and means the 65 535 bytes that the core can address; the soft timeout has its place beside the hard one.
    // One mark has to be below the other.
    const last = name === 'headerBytes' ? 65_536 : name === 'lowWaterMark' ? lastOfCore - 1 : lastOfCore
    const beside = name === 'lowWaterMark' ? { highWaterMark: lastOfCore } : {}
    const config = (value: number) => (name === 'softTimeout' ? { requestTimeout: { soft: value } } : { limits: { ...beside, [name]: value } })
    for (const value of [first, last]) t.notThrows(() => parseConfig(config(value)), `${name}: ${value}`)
    for (const value of [first - 1, last + 1]) t.throws(() => parseConfig(config(value)), undefined, `${name}: ${value}`)
  }
})

const refusedPorts: [ports: unknown, message: string][] = [
  [{ a: {} }, 'ports.a.protocol is required in sluice.config.js'],
  [{ a: { protocol: 'gopher', listen: { port: 0 } } }, 'ports.a.protocol must be "http" or "websocket" or "tcp" or "udp", got "gopher" (in sluice.config.js)'],
  [{ a: { protocol: 'http', listen: { port: 0 }, framing: 'lines' } }, 'ports.a.framing is for protocol "tcp", not for "http" (in sluice.config.js)'],
  [{ a: { protocol: 'websocket', listen: { port: 0 }, maxMessage: 5 } }, 'ports.a.maxMessage is for protocol "tcp", not for "websocket" (in sluice.config.js)'],
  [{ a: { protocol: 'tcp', listen: { port: 0 }, maxMessage: 0 } }, 'ports.a.maxMessage must be a whole number of bytes ≥ 1, got 0 (in sluice.config.js)'],
  [{ a: { protocol: 'tcp', listen: { port: 0 }, framing: 'line' } }, 'ports.a.framing must be "raw", "lines", "mqtt", "varint", "netstring", { eof } or { length }, got "line" (in sluice.config.js)'],
  [{ a: { protocol: 'tcp', listen: { port: 0 }, framing: [] } }, 'ports.a.framing must be "raw", "lines", "mqtt", "varint", "netstring", { eof } or { length }, got a list (in sluice.config.js)'],
  [{ a: { protocol: 'tcp', listen: { port: 0 }, framing: { eof: '' } } }, 'ports.a.framing.eof must be 1 to 8 bytes or as long a string, got "" (in sluice.config.js)'],
  [{ a: { protocol: 'tcp', listen: { port: 0 }, framing: { eof: 'ääääx' } } }, 'ports.a.framing.eof must be 1 to 8 bytes or as long a string, got "ääääx" (in sluice.config.js)'],
  [{ a: { protocol: 'tcp', listen: { port: 0 }, framing: { eof: ';', kep: true } } }, 'unknown option `ports.a.framing.kep` in sluice.config.js, did you mean `ports.a.framing.keep`?'],
  [{ a: { protocol: 'tcp', listen: { port: 0 }, framing: { length: 'u8', offset: 4097 } } }, 'ports.a.framing.offset must be a whole number of bytes ≤ 4096, got 4097 (in sluice.config.js)'],
  [{ a: { protocol: 'http', listen: { port: 0 }, limit: {} } }, 'unknown option `ports.a.limit` in sluice.config.js, did you mean `ports.a.limits`?'],
  [{ a: { protocol: 'http', listen: { port: 0 }, limits: { mesage: 1 } } }, 'unknown option `ports.a.limits.mesage` in sluice.config.js, did you mean `ports.a.limits.message`?'],
  [{ a: { protocol: 'http', listen: { port: 0 }, limits: { lowWaterMark: 900_000 } } }, 'ports.a.limits.lowWaterMark must be less than highWaterMark (838860), got 900000 (in sluice.config.js)'],
]
for (const [ports, message] of refusedPorts) test(refuses, { ports }, message)

const refusedProcesses: [process: unknown, message: string][] = [
  [{ pipe: 'datagram', command: ['x'] }, 'processes.a.pipe must be "none" or "stream", got "datagram" (in sluice.config.js)'],
  [{ pipe: 'raw', file: 'x' }, 'processes.a.pipe must be "none" or "stream" or "datagram", got "raw" (in sluice.config.js)'],
  [{ stuckAfter: 1, command: ['x'] }, 'unknown option `processes.a.stuckAfter` in sluice.config.js'],
  [{ stuckAfter: 0, file: 'x' }, 'processes.a.stuckAfter must be a whole number of milliseconds ≥ 1 or false, got 0 (in sluice.config.js)'],
  [{ queue: { mode: 'all' }, file: 'x' }, 'processes.a.queue.mode must be "balance" or "orient", got "all" (in sluice.config.js)'],
  [{ queue: { capcity: 1 }, file: 'x' }, 'unknown option `processes.a.queue.capcity` in sluice.config.js, did you mean `processes.a.queue.capacity`?'],
  [{ queue: false, file: 'x' }, 'processes.a.queue must be an object, got false (in sluice.config.js)'],
  [{ command: [''] }, 'processes.a.command must name a program, got a list (in sluice.config.js)'],
  [{ redirect: true, file: 'x' }, 'unknown option `processes.a.redirect` in sluice.config.js'],
]
for (const [process, message] of refusedProcesses) test(refuses, { processes: { a: process } }, message)

test('a process is watched as the server watches workers, unless it says otherwise, and a command is not', (t) => {
  const { processes } = parseConfig({ stuckAfter: 500, processes: { a: { file: 'x' }, b: { file: 'x', stuckAfter: 7 }, c: { file: 'x', stuckAfter: false }, d: { command: ['x'] } } })
  t.deepEqual(Object.values(processes).map(({ stuckAfter }) => stuckAfter), [500, 7, 0, 0])
  t.deepEqual(Object.values(processes).map(({ pipe }) => pipe), ['datagram', 'datagram', 'datagram', 'stream'])
  t.like(processes['a'], { queue: { capacity: 8192, mode: 'balance' } })
  t.like(parseConfig({ processes: { a: { file: 'x', queue: true } } }).processes['a'], { queue: { capacity: 8192, mode: 'balance' } })
})

for (const name of ['main', 'main2', 'a b', 'a'.repeat(65)]) {
  test(`parseConfig() refuses the port name ${name.slice(0, 10)}`, (t) => {
    t.throws(() => parseConfig({ ports: { [name]: { protocol: 'http', listen: { port: 0 } } } }), { code: 'ERR_SLUICE_INVALID_OPTION', message: /^ports\..* must have / })
  })
}

test('parseConfig() takes 64 ports together, and not one more', (t) => {
  const listen = (count: number) => Array.from({ length: count }, () => ({ port: 0 }))
  const ports = { a: { protocol: 'http', listen: { port: 0 } } }
  t.is(parseConfig({ listen: listen(63), ports }).ports.length, 64)
  t.throws(() => parseConfig({ listen: listen(64), ports }), codeAndMessage('ports and listen must have at most 64 addresses together, got 65'))
  t.deepEqual(parseConfig({ listen: [], ports }).ports.map(({ name }) => name), ['a'])
})

test('a TCP port has the framing that it says, and its longest message is its limit', (t) => {
  const port = (more: object) => parseConfig({ limits: { message: 7 }, ports: { a: { protocol: 'tcp', listen: { port: 0 }, ...more } } }).ports.at(-1)!
  t.like(port({}), { protocol: 'tcp', framing: 'raw', limits: { message: 7 } })
  t.like(port({ framing: 'lines', maxMessage: 9, limits: { message: 8 } }), { framing: 'lines', limits: { message: 9 } })
  t.deepEqual(port({ framing: { eof: 'ä\r' } }).framing, { eof: [0xc3, 0xa4, 13], split: true, keep: true })
  t.deepEqual(port({ framing: { eof: Uint8Array.of(0), split: false, keep: false } }).framing, { eof: [0], split: false, keep: false })
  t.deepEqual(port({ framing: { length: 'u16be', offset: 2 } }).framing, { length: 'u16be', offset: 2, strip: false })
})

test('a port has what it says itself, and else what the server has', (t) => {
  const own = { protocol: 'websocket', listen: { port: 0 }, limits: { message: 9, sendBuffer: 2048 }, heartbeat: { idle: 5, ping: false }, dispatch: 'ip', tcp: { keepAlive: 7 } }
  const config = parseConfig({ limits: { message: 8, pipeline: 3 }, heartbeat: { pongTimeout: 4 }, dispatch: 'idle', tcp: { backlog: 6 }, ports: { own, other: { protocol: 'http', listen: { path: 'o.sock' } } } }, '/srv/sluice.config.js')
  const [main, first, second] = config.ports
  t.deepEqual(config.ports.map(({ name, protocol }) => [name, protocol]), [['main', 'http'], ['own', 'websocket'], ['other', 'http']])
  t.like(first, { limits: { message: 9, pipeline: 3, sendBuffer: 2048, highWaterMark: 1638, lowWaterMark: 512 }, heartbeat: { idle: 5, ping: 0, pongTimeout: 4 }, dispatch: 'ip', tcp: { keepAlive: 7, backlog: 6, nodelay: true } })
  t.like(second, { limits: { message: 8, pipeline: 3 }, heartbeat: { ping: 25_000, pongTimeout: 4 }, dispatch: 'idle', tcp: { keepAlive: 0, backlog: 6 }, listen: { path: '/srv/o.sock' } })
  t.deepEqual([main!.limits, main!.tcp], [second!.limits, second!.tcp])
})

test('toNativeConfig() turns off into 0 and names the ports', (t) => {
  const native = JSON.parse(
    toNativeConfig(parseConfig({ stuckAfter: false, heartbeat: { ping: false }, tcp: { keepAlive: false }, listen: [{ port: 0 }, { path: '/a.sock', mode: 0o600 }], onWorkerCrash: { replay: 'none' } })),
  )
  t.is(native.stuckAfter, 0)
  t.is(native.ports[0].tcp.keepAlive, 0)
  t.deepEqual(native.ports[1].heartbeat, { ping: 0, pongTimeout: 20_000, idle: 0 })
  t.deepEqual(
    native.ports.map((port: { name: string; listen: unknown }) => [port.name, port.listen]),
    [
      ['main', { host: '127.0.0.1', port: 0, reusePort: false, ipv6Only: false }],
      ['main2', { path: '/a.sock', mode: 0o600 }],
    ],
  )
  t.false(native.replay.safeMethods)
})

test('parseConfig() gives task workers only to those who name tasks, and every server the default queue', (t) => {
  const queue = { name: 'default', workers: 0, concurrency: 0, rate: undefined }
  t.deepEqual(parseConfig({}).tasks, { workers: 0, concurrency: 16, files: [], maxTasks: 0, queues: [queue], keepFailed: 1000, max: 100_000, bytes: 67_108_864, durable: false })
  t.is(parseConfig({ tasks: {} }).tasks.workers, 1)
  t.deepEqual(parseConfig({ tasks: { files: 'tasks/*.js', queues: { mail: { workers: 2 }, default: { rate: { limit: 5, per: 1000 } } } } }).tasks, {
    ...parseConfig({ tasks: {} }).tasks,
    files: ['tasks/*.js'],
    queues: [
      { ...queue, rate: { limit: 5, per: 1000 } },
      { name: 'mail', workers: 2, concurrency: 0, rate: undefined },
    ],
  })
})
