import test from 'ava'
import { Patience } from '../../src-ts/bridge/patience.ts'

/** How many occasions are let pass. */
function skips(patience: Patience): number {
  let count = 0
  while (!patience.wanted()) count++
  return count
}

test('it looks while that pays', (t) => {
  const patience = new Patience()
  for (let round = 0; round < 3; round++) {
    t.true(patience.wanted())
    patience.paid()
  }
})

test('each time in vain twice as many occasions and one more pass, up to 255; one success forgets that', (t) => {
  const patience = new Patience()
  const passed: number[] = []
  for (let round = 0; round < 10; round++) {
    passed.push(skips(patience))
    patience.inVain()
  }
  t.deepEqual(passed, [0, 1, 3, 7, 15, 31, 63, 127, 255, 255])
  t.is(skips(patience), 255)
  patience.paid()
  t.is(skips(patience), 0)
  patience.inVain()
  t.is(skips(patience), 1)
})
