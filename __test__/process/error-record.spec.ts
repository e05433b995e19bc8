import test from 'ava'

import { fromRecord, parseErrorRecord, toRecord } from '../../src-ts/process/error-record.ts'

test('an error keeps name, message, stack, code and causes across threads', (t) => {
  const cause = Object.assign(new RangeError('too far'), { code: 'ERR_FAR' })
  const error = new TypeError('no', { cause })
  const copy = fromRecord(parseErrorRecord(structuredClone(toRecord(error)))!)
  t.true(copy instanceof Error)
  t.is(copy.name, 'TypeError')
  t.is(copy.message, 'no')
  t.is(copy.stack, error.stack)
  const copiedCause = copy.cause as Error & { code?: string }
  t.is(copiedCause.name, 'RangeError')
  t.is(copiedCause.code, 'ERR_FAR')
})

test('its other plain members come along, and the errors of an AggregateError', (t) => {
  const error = Object.assign(new AggregateError([Object.assign(new Error('one'), { code: 1062 }), 'two'], 'all failed'), { status: 503, isFatal: true, detail: null, socket: {}, retry() {} })
  const copy = fromRecord(parseErrorRecord(JSON.parse(JSON.stringify(toRecord(error))))!) as Error & Record<string, unknown> & { errors: (Error & { code?: unknown })[] }
  t.deepEqual({ ...copy }, { status: 503, isFatal: true, detail: null })
  t.is(copy.name, 'AggregateError')
  t.deepEqual(copy.errors.map(({ code, message }) => [code, message]), [[1062, 'one'], [undefined, 'Thrown: "two"']])
})

test('what looks like an error is one', (t) => {
  t.like(toRecord({ message: 'no row', code: 'E_ROW', row: 7 }), { name: 'Error', message: 'no row', code: 'E_ROW', fields: { row: 7 } })
})

test('members are bounded, and none takes the place of another', (t) => {
  const many = Object.assign(new Error('x'), Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`field${index}`, 'y'.repeat(5000)])))
  const { fields = {} } = toRecord(many)
  t.is(Object.keys(fields).length, 32)
  t.true(Object.values(fields).every((value) => String(value).length <= 1025))
  const forged = fromRecord(parseErrorRecord({ name: 'A', message: 'm', fields: { message: 'other', stack: 'other', deep: {}, n: 1 } })!)
  t.is(forged.message, 'm')
  t.deepEqual({ ...forged }, { n: 1 })
})

test('whatever is thrown becomes a record that can be cloned', (t) => {
  const bad = new Error('x')
  Object.defineProperty(bad, 'message', {
    get() {
      throw new Error('from a getter')
    },
  })
  for (const thrown of [undefined, null, 'text', 42, Symbol('s'), { a: 1 }, () => 1, bad, Object.create(null)]) {
    const record = toRecord(thrown)
    t.notThrows(() => structuredClone(record))
    t.not(record.message, '')
  }
})

test('a cause that points back to itself ends', (t) => {
  const error = new Error('loop')
  error.cause = error
  let depth = 0
  for (let record = toRecord(error).cause; record; record = record.cause) depth += 1
  t.true(depth > 0 && depth < 20)
})

test('long texts are cut', (t) => {
  t.true(toRecord(new Error('x'.repeat(1_000_000))).message.length < 20_000)
})

test('what is not a record is refused', (t) => {
  for (const value of [undefined, null, 1, 'x', {}, { name: 'Error' }, { name: 1, message: 'x' }]) t.is(parseErrorRecord(value), undefined)
})
