import test from 'ava'

import { isInterval, parseInterval } from '../../src-ts/cron/interval.ts'

test('a length of time has a unit', (t) => {
  t.deepEqual(['500ms', '5s', '5 m', '1h', '1d'].map(parseInterval), [500, 5000, 300_000, 3_600_000, 86_400_000])
  for (const text of ['5', 's', '-5s', '1.5s', '5 weeks', '* * * * *', '@daily', '', '5S']) t.is(parseInterval(text), undefined, text)
})

test('an interval is a whole number of milliseconds from 1 on', (t) => {
  t.true(isInterval(1))
  for (const value of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, '5', undefined]) t.false(isInterval(value))
})
