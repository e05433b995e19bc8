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
