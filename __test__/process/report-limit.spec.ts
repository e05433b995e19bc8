import test from 'ava'

import { ReportLimit } from '../../src-ts/process/report-limit.ts'

test('100 errors pass in a second, the others are counted and told with the next that passes', (t) => {
  const limit = new ReportLimit()
  const passed = Array.from({ length: 150 }, () => limit.pass(0)).filter((more) => more !== undefined)
  t.is(passed.length, 100)
  t.is(limit.pass(999), undefined)
  t.is(limit.pass(1_000), 51)
  t.is(limit.pass(1_001), 0)
})
