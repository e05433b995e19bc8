import test from 'ava'

import { Mailbox, type Reader } from '../../../src-ts/process/custom/mailbox.ts'

function reader(taken: unknown[], isWaiting = () => true): Reader {
  return { isWaiting, take: (messages) => void taken.push(...(messages.length === 0 ? ['end'] : messages)) }
}

test('messages are taken in order, each once, whoever comes first', (t) => {
  const mailbox = new Mailbox(10)
  const taken: unknown[] = []
  mailbox.offer(1)
  mailbox.read(reader(taken))
  mailbox.read(reader(taken))
  mailbox.read(reader(taken))
  t.deepEqual(taken, [1])
  mailbox.offer(2)
  mailbox.offer(3)
  mailbox.offer(4)
  t.deepEqual(taken, [1, 2, 3])
  t.is(mailbox.length, 1)
})

test('a reader that has gone gets nothing, and nothing is lost with it', (t) => {
  const mailbox = new Mailbox(10)
  const gone: unknown[] = []
  const taken: unknown[] = []
  mailbox.read(reader(gone, () => false))
  mailbox.read(reader(taken))
  mailbox.offer('a')
  t.deepEqual([gone, taken], [[], ['a']])
})

test('what is beyond its bound is not kept', (t) => {
  const mailbox = new Mailbox(2)
  t.deepEqual([mailbox.offer(1), mailbox.offer(2), mailbox.offer(3)], [true, true, false])
  mailbox.read(reader([]))
  t.true(mailbox.offer(3))
  const bytes = new Mailbox(100)
  const chunk = new Uint8Array(40 * 1024 * 1024)
  t.deepEqual([bytes.offer(chunk), bytes.offer(chunk), bytes.offer('short')], [true, false, true])
})

test('whoever was paused goes on when half of it is taken', (t) => {
  const mailbox = new Mailbox(4)
  let drained = 0
  for (let message = 0; message < 4; message += 1) mailbox.offer(message)
  t.true(mailbox.isHigh)
  mailbox.whenLow(() => void (drained += 1))
  mailbox.read(reader([]))
  t.is(drained, 0)
  mailbox.read(reader([]))
  mailbox.read(reader([]))
  t.is(drained, 1)
})

test('at the end what waits is still taken, and then everybody is told', (t) => {
  const mailbox = new Mailbox(4)
  const taken: unknown[] = []
  mailbox.offer(1)
  mailbox.close()
  t.false(mailbox.offer(2))
  for (let count = 0; count < 3; count += 1) mailbox.read(reader(taken))
  t.deepEqual(taken, [1, 'end', 'end'])
})

test('who writes waits for room, in order, and not for ever', (t) => {
  const mailbox = new Mailbox(2)
  const done: string[] = []
  const taken: unknown[] = []
  let isThere = true
  const write = (message: unknown, isWaiting = () => true): void => mailbox.write({ message, isWaiting, done: (isKept) => void done.push(`${String(message)} ${isKept}`) })
  write(1)
  write(2)
  write(3, () => isThere)
  write(4)
  t.deepEqual(done, ['1 true', '2 true'])
  isThere = false
  mailbox.read(reader(taken))
  t.deepEqual([taken, done.slice(2)], [[1], ['4 true']])
  write(5)
  mailbox.close()
  t.is(done.at(-1), '5 false')
  for (let count = 0; count < 3; count += 1) mailbox.read(reader(taken))
  t.deepEqual(taken, [1, 2, 4, 'end'])
})

test('of a stream as many bytes as fit are read at once, and none is lost', (t) => {
  const mailbox = new Mailbox(100, true)
  const taken: unknown[] = []
  for (const text of ['one', 'two', '']) mailbox.offer(new TextEncoder().encode(text))
  mailbox.offer(new Uint8Array(60_000))
  mailbox.offer(new Uint8Array(60_000))
  mailbox.offer(new Uint8Array(200_000))
  t.is(mailbox.length, 6)
  for (let count = 0; count < 3; count += 1) mailbox.read(reader(taken))
  t.deepEqual(taken.map((chunk) => (chunk as Uint8Array).length), [60_006, 60_000, 200_000])
  t.is(Buffer.from((taken[0] as Uint8Array).subarray(0, 6)).toString(), 'onetwo')
  t.is(mailbox.length, 0)
})

test('bytes count wherever they are in a message', (t) => {
  const mailbox = new Mailbox(100)
  const message = { list: [{ deep: new Uint8Array(40 * 1024 * 1024) }] }
  t.deepEqual([mailbox.offer(message), mailbox.offer(message)], [true, false])
})

test('many messages are taken without moving the others each time', (t) => {
  const mailbox = new Mailbox(200_000)
  for (let message = 0; message < 200_000; message += 1) mailbox.offer(message)
  const taken: unknown[] = []
  const start = performance.now()
  while (mailbox.length > 0) mailbox.read(reader(taken))
  t.is(taken.length, 200_000)
  t.true(performance.now() - start < 5_000)
  t.is(taken[199_999], 199_999)
})
