import test from 'ava'
import { nearest } from '../../src-ts/config/nearest.ts'

test('nearest() finds what was probably meant', (t) => {
  t.is(nearest('worker', ['workers', 'root']), 'workers')
  t.is(nearest('wrokers', ['workers', 'root']), 'workers')
  t.is(nearest('BODYBYTES', ['bodyGrace', 'bodyBytes']), 'bodyBytes')
  t.is(nearest('prt', ['host', 'port']), 'port')
})

test('nearest() names nothing that is only a little like it', (t) => {
  t.is(nearest('tls', ['tcp', 'log', 'env']), undefined)
  t.is(nearest('x', []), undefined)
  t.is(nearest('', ['app']), undefined)
})
