import test from 'ava'
import fc from 'fast-check'
import { textOf } from '../../src-ts/bridge/text-cache.ts'

test('any bytes at any place give the text that latin1 gives, again and again', (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.uint8Array({ minLength: 0, maxLength: 48 }), fc.nat(8)), { maxLength: 40 }), (texts) => {
      for (const [bytes, before] of [...texts, ...texts]) {
        const ring = Buffer.concat([Buffer.alloc(before, 0x2f), bytes, Buffer.from('tail')])
        if (textOf(ring, before, bytes.length) !== Buffer.from(bytes).toString('latin1')) return false
      }
      return true
    }),
  )
  t.pass()
})

test('texts that share a place do not show through each other', (t) => {
  // The same length and the same first, middle and last byte.
  const one = Buffer.from('/aXc/e')
  const two = Buffer.from('/bXc/e')
  t.is(textOf(one, 0, 6), '/aXc/e')
  t.is(textOf(two, 0, 6), '/bXc/e')
  t.is(textOf(one, 0, 6), '/aXc/e')
})
