import test from 'ava'

import { FRAME_BYTES_MAX, FrameReader, toFrame } from '../../../src-ts/process/custom/frames.ts'

const values = ['text', { list: [1, 2n, new Date(0)], map: new Map([['a', new Uint8Array([1, 2])]]) }, undefined, null, 'x'.repeat(100_000)]

test('values come out as they went in, whatever the pieces they come in', (t) => {
  const all = Buffer.concat(values.map((value) => toFrame(value)))
  for (const size of [1, 3, 4, 5, 1000, all.length]) {
    const taken: unknown[] = []
    const reader = new FrameReader((value) => taken.push(value))
    for (let at = 0; at < all.length; at += size) reader.write(all.subarray(at, at + size))
    t.deepEqual(taken, values)
  }
})

test('what is no frame is refused before it takes memory', (t) => {
  const taken: unknown[] = []
  const reader = () => new FrameReader((value) => taken.push(value))
  const length = (bytes: number): Buffer => {
    const head = Buffer.alloc(4)
    head.writeUInt32LE(bytes)
    return head
  }
  t.throws(() => reader().write(Buffer.from('garbage on the line')))
  t.throws(() => reader().write(length(0)))
  t.throws(() => reader().write(length(FRAME_BYTES_MAX + 1)))
  t.notThrows(() => reader().write(length(FRAME_BYTES_MAX)))
  t.throws(() => reader().write(Buffer.concat([length(7), Buffer.from('garbage')])))
  t.deepEqual(taken, [])
})

test('what cannot be cloned, or is too long, is the fault of whoever sends it', (t) => {
  t.throws(() => toFrame(() => {}), { code: 'ERR_SLUICE_INVALID_ARG', instanceOf: TypeError })
  t.throws(() => toFrame(new SharedArrayBuffer(8)), { code: 'ERR_SLUICE_INVALID_ARG' })
  t.throws(() => toFrame(new Uint8Array(FRAME_BYTES_MAX)), { code: 'ERR_SLUICE_INVALID_ARG', instanceOf: RangeError })
})
