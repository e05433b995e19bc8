import test from 'ava'
import { decodeInput, encodeInput } from '../../src-ts/tasks/input.ts'

test('an input comes back as a copy', (t) => {
  const loop: { self?: unknown } = {}
  loop.self = loop
  for (const input of [undefined, null, 1n, 'ö', { a: [1, new Date(1)] }, new Map([[{}, new Set([1])]]), new Uint8Array([1]), new Float64Array([0.5])]) {
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

test('64 KiB are the most', (t) => {
  const overhead = encodeInput('x', 'It').length - 1
  const longest = 65_536 - overhead - 2
  t.true(encodeInput('x'.repeat(longest), 'It').length <= 65_536)
  t.throws(() => encodeInput('x'.repeat(65_536), 'It'), { instanceOf: RangeError, code: 'ERR_SLUICE_TASK_PAYLOAD' })
})
