import test from 'ava'
import { hasColour, painter } from '../../src-ts/cli/colour.ts'
import { createLogger, type LoggerOptions } from '../../src-ts/cli/logger.ts'

function setUp(options: Partial<LoggerOptions> = {}) {
  const lines: string[] = []
  const log = createLogger({ level: 'info', format: 'json', isColoured: false, write: (line) => lines.push(line), ...options })
  return { log, lines }
}

test('a json line has the members of a pino line', (t) => {
  const { log, lines } = setUp()
  log.warn('careful', { worker: 1 })
  const { time, hostname, ...rest } = JSON.parse(lines[0] as string)
  t.deepEqual(rest, { level: 40, pid: process.pid, worker: 1, msg: 'careful' })
  t.is(typeof time, 'number')
  t.is(typeof hostname, 'string')
  t.true(lines[0]?.endsWith('}\n'))
})

test('an error in a json line keeps message, code, stack and cause', (t) => {
  const { log, lines } = setUp()
  log.error('failed', { err: Object.assign(new TypeError('a', { cause: new Error('b') }), { code: 'C' }) })
  t.like(JSON.parse(lines[0] as string).err, { type: 'TypeError', message: 'a', code: 'C', cause: { message: 'b' } })
})

test('lines below the level are not written', (t) => {
  const { log, lines } = setUp({ level: 'warn' })
  log.info('a')
  log.warn('b')
  log.error('c')
  t.is(lines.length, 2)
})

test('a pretty line has time, level, message and fields, and the stack of an error below', (t) => {
  const { log, lines } = setUp({ format: 'pretty' })
  log.info('hello', { a: 1, b: 'x', c: undefined, err: new Error('bad') })
  t.regex(lines[0] as string, /^\d\d:\d\d:\d\d\.\d{3} INFO {2}hello a=1 b=x\n {2}Error: bad\n {6}at /)
})

test('FORCE_COLOR wins over NO_COLOR, and that over the terminal', (t) => {
  t.true(hasColour({ isTTY: false }, { FORCE_COLOR: '1', NO_COLOR: '1' }))
  t.false(hasColour({ isTTY: true }, { FORCE_COLOR: '0' }))
  t.false(hasColour({ isTTY: true }, { NO_COLOR: '1' }))
  t.true(hasColour({ isTTY: true }, { NO_COLOR: '' }))
  t.false(hasColour({}, {}))
})

test('painter() without colours leaves text as it is', (t) => {
  t.is(painter(false)('red', 'a'), 'a')
  t.is(painter(true)('red', 'a'), '\x1b[31ma\x1b[0m')
})
