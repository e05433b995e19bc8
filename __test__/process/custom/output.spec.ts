import { PassThrough } from 'node:stream'
import test from 'ava'

import { readLines } from '../../../src-ts/process/custom/output.ts'
import { settle } from '../fake-clock.ts'

test('a stream is held back while its lines are not dealt with', async (t) => {
  const stream = new PassThrough()
  const lines: string[] = []
  const done: (() => void)[] = []
  readLines(stream, (line) => {
    lines.push(line)
    return new Promise((resolve) => done.push(resolve))
  })
  for (let count = 0; count < 5_000; count += 1) stream.write(`${count}\n`)
  await settle()
  t.is(lines.length, 1_024)
  t.true(stream.isPaused())
  while (lines.length < 5_000) {
    for (const one of done.splice(0)) one()
    await settle()
  }
  t.is(lines.at(-1), '4999')
  t.false(stream.isPaused())
})

test('where nobody says how long it takes, lines are taken as they come', async (t) => {
  const stream = new PassThrough()
  const lines: string[] = []
  readLines(stream, (line) => void lines.push(line))
  stream.end('one\ntwo\nthree')
  await settle()
  t.deepEqual(lines, ['one', 'two', 'three'])
})
