import test from 'ava'
import { Totals } from '../../scripts/totals.mjs'

const read = (runner: 'cargo' | 'tap' | 'check', text: string, ok: boolean) => {
  const totals = new Totals(runner)
  for (const line of text.split('\n')) totals.line(line)
  return totals.end(ok)
}

test('cargo: the results of all test binaries are added up', (t) => {
  const output = `
running 2 tests
test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s
\u001b[0mtest result: \u001b[31mFAILED\u001b[0m. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s`
  t.deepEqual(read('cargo', output, false), { passed: 15, failed: 2 })
})

test('ava: the closing comments of TAP count, lines of tests do not', (t) => {
  t.deepEqual(read('tap', 'ok 1 - # pass 7\n\n1..3\n# tests 3\n# pass 2\n# fail 1\n', false), { passed: 2, failed: 1 })
})

test('a run that breaks without naming a failed test is one failure', (t) => {
  t.deepEqual(read('cargo', 'error[E0432]: unresolved import', false), { passed: 0, failed: 1 })
  t.deepEqual(read('tap', '# pass 5\n# fail 0', false), { passed: 5, failed: 1 })
})

test('a check without tests of its own is one test', (t) => {
  t.deepEqual(read('check', 'All matched files use the correct format', true), { passed: 1, failed: 0 })
  t.deepEqual(read('check', '12 passed', false), { passed: 0, failed: 1 })
})
