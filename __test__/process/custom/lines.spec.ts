import test from 'ava'

import { Lines } from '../../../src-ts/process/custom/lines.ts'

function linesOf(...chunks: (string | Buffer)[]): string[] {
  const lines: string[] = []
  const reader = new Lines((line) => lines.push(line))
  for (const chunk of chunks) reader.write(Buffer.from(chunk))
  reader.end()
  return lines
}

test('lines come whole, whatever the pieces they came in', (t) => {
  t.deepEqual(linesOf('one\ntwo\r\n\nth', 'ree', '\nfour'), ['one', 'two', '', 'three', 'four'])
  const euro = Buffer.from('€\n')
  t.deepEqual(linesOf(euro.subarray(0, 1), euro.subarray(1)), ['€'])
  t.deepEqual(linesOf(), [])
})

test('a line without end is cut, and what follows it is read', (t) => {
  const lines = linesOf(...Array.from({ length: 100 }, () => 'x'.repeat(10_000)), '\nnext\n')
  t.deepEqual(lines.map(({ length }) => length), [64 * 1024, 4])
})
