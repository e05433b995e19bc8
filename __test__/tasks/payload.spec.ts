import test from 'ava'
import { decodePayload, encodePayload } from '../../src-ts/tasks/payload.ts'

const encodeInput = (value: unknown, where: string): Uint8Array => encodePayload(value, where, 'input', 65_536)
const decodeInput = (bytes: Uint8Array): unknown => decodePayload(Buffer.from(bytes))

test('an input comes back as a copy', (t) => {
  const loop: { self?: unknown } = {}
  loop.self = loop
  for (const input of [undefined, null, true, false, 0, -0, 1.5, Number.NaN, -1e300, '', 1n, 'ö', '\ud800', Buffer.from('ab'), new Uint8Array(0), { a: [1, new Date(1)] }, new Map([[{}, new Set([1])]]), new Uint8Array([1]), new Float64Array([0.5])]) {
    t.deepEqual(decodeInput(encodeInput(input, 'it')), input)
  }
  const copy = decodeInput(encodeInput(loop, 'it')) as typeof loop
  t.is(copy.self, copy)
  t.not(copy, loop)
})

const refuses = test.macro<[input: () => unknown, path: string, kind: string]>({
  exec: (t, input, path, kind) => {
    const error = t.throws(() => encodeInput(input(), 'It'), { instanceOf: TypeError, code: 'ERR_SLUICE_TASK_PAYLOAD' }) as Error & { path: string }
    t.is(error.path, path)
    t.is(error.message, `It cannot be cloned: \`${path}\` is ${kind}`)
    t.true(error.cause instanceof Error)
  },
  title: (title = '') => `a refusal names ${title}`,
})

test('a function', refuses, () => () => 1, 'input', 'a function')
test('a symbol in an array in an object', refuses, () => ({ a: { list: [1, Symbol('x')] } }), 'input.a.list[1]', 'a symbol')
test('a value of a map', refuses, () => new Map([['key', { run: () => 1 }]]), 'input.get(key).run', 'a function')
test('a member of a set', refuses, () => new Set([1, () => 1]), 'input[1]', 'a function')
test('an object of a class of the system', refuses, () => ({ deep: { promise: Promise.resolve() } }), 'input.deep.promise', 'of class Promise')
test('something in an object that holds itself', refuses, () => {
  const input: Record<string, unknown> = { run: () => 1 }
  input['self'] = input
  return input
}, 'input.run', 'a function')
test('where a getter throws', refuses, () => ({ get a(): never { throw new Error('no') } }), 'input', 'of class Object')

test('bytes come back as what they were, in memory of their own', (t) => {
  const ring = Buffer.concat([Buffer.from('xyz'), encodeInput(Buffer.from('ab'), 'it'), encodeInput(Uint8Array.of(1, 2), 'it'), encodeInput({ view: Float64Array.of(1) }, 'it')])
  const buffer = decodePayload(ring, 3, 6) as Buffer
  const plain = decodePayload(ring, 6, 9) as Uint8Array
  const { view } = decodePayload(ring, 9) as { view: Float64Array }
  ring.fill(0)
  t.true(Buffer.isBuffer(buffer))
  t.is(buffer.toString(), 'ab')
  t.is(plain.constructor, Uint8Array)
  t.is(plain.buffer.byteLength, 2)
  t.deepEqual([...plain, ...view], [1, 2, 1])
  t.is(decodePayload(ring, 4, 4), undefined)
})

test('bytes of a class of their own are plain, and memory that is shared is copied', (t) => {
  t.is((decodeInput(encodeInput(new (class Own extends Uint8Array {})(2), 'It')) as Uint8Array).constructor, Uint8Array)
  const view = new Uint8Array(new SharedArrayBuffer(1))
  view[0] = 7
  t.deepEqual(decodeInput(encodeInput(view, 'It')), Uint8Array.of(7))
})

test('64 KiB are the most', (t) => {
  const error = { instanceOf: RangeError, code: 'ERR_SLUICE_TASK_PAYLOAD', message: 'It must have at most 65536 bytes, got 65537' }
  t.is(encodeInput('x'.repeat(65_535), 'It').length, 65_536)
  t.throws(() => encodeInput('x'.repeat(65_536), 'It'), error)
  t.is(encodeInput(new Uint8Array(65_535), 'It').length, 65_536)
  t.throws(() => encodeInput(new Uint8Array(65_536), 'It'), error)
  t.throws(() => encodeInput(['x'.repeat(70_000)], 'It'), { ...error, message: /^It must have at most 65536 bytes, got 70\d{3}$/ })
})
