import test from 'ava'
import * as module from '../../scripts/totals.mjs'

type Runner = 'cargo' | 'tap' | 'check'

/** What the JSDoc of `totals.mjs` promises; `totals.d.mts` declares a part of it. */
interface Reading {
  line(raw: string): string | undefined
  end(ok: boolean, reason?: string): { passed: number; failed: number; failures: readonly { name: string; lines: readonly string[] }[] }
}
const Totals = module.Totals as unknown as new (runner: Runner) => Reading

const run = (runner: Runner, text: string, ok: boolean, reason?: string) => {
  const totals = new Totals(runner)
  const printed = text.split('\n').map((line) => totals.line(line)).filter((line) => line !== undefined)
  return { printed, ...totals.end(ok, reason) }
}

const read = (runner: Runner, text: string, ok: boolean) => {
  const { passed, failed } = run(runner, text, ok)
  return { passed, failed }
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

test('ava: each failed test is named with its error, and nothing else is', (t) => {
  const output = `TAP version 13
ok 1 - a › passes
#   said by it
not ok 2 - a › is unequal
  ---
    name: AssertionError
    details:
      'Difference (- actual, + expected):': |2-
        -   text: 'ok 3 - x',
        +   text: 'y',
  ...
ok 3 - a › passes, too
not ok 4 - a › to do # TODO
not ok 5 - a.spec.ts exited with a non-zero exit code: 1
ok 6 - a › skipped # SKIP

1..6
# tests 5
# pass 2
# fail 2`
  t.deepEqual(run('tap', output, false).failures, [
    {
      name: 'a › is unequal',
      lines: [
        '    name: AssertionError',
        '    details:',
        "      'Difference (- actual, + expected):': |2-",
        "        -   text: 'ok 3 - x',",
        "        +   text: 'y',",
      ],
    },
    { name: 'a.spec.ts exited with a non-zero exit code: 1', lines: [] },
  ])
})

test('cargo: each failed test is named with its error, and a binary that a signal ended', (t) => {
  const output = `running 3 tests
test a::passes ... ok
test a::fails ... FAILED
test a::fails_too ... FAILED

failures:

---- a::fails stdout ----

thread 'a::fails' panicked at src/a.rs:1:2:
left != right
---- a::fails_too stdout ----
Error: "no"

failures:
    a::fails
    a::fails_too

test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s

Caused by:
  process didn't exit successfully: \`target/debug/deps/b\` (signal: 6, SIGABRT: process abort signal)`
  t.deepEqual(run('cargo', output, false).failures, [
    { name: 'a::fails', lines: ["thread 'a::fails' panicked at src/a.rs:1:2:", 'left != right'] },
    { name: 'a::fails_too', lines: ['Error: "no"'] },
    { name: "process didn't exit successfully: `target/debug/deps/b` (signal: 6, SIGABRT: process abort signal)", lines: [] },
  ])
})

test('a run that breaks off says how it ended and what it printed last, besides the failures before', (t) => {
  const output = `not ok 1 - a › fails
  ---
    message: no
  ...
ok 2 - a › passes
TypeError: the reporter broke`
  const { failures } = run('tap', output, false, 'node exited with code 1')
  t.deepEqual(failures, [
    { name: 'a › fails', lines: ['    message: no'] },
    { name: 'node exited with code 1', lines: output.split('\n') },
  ])
  t.deepEqual(run('check', 'src/a.ts(1,2): error TS1', false, 'tsc exited with code 2').failures, [
    { name: 'tsc exited with code 2', lines: ['src/a.ts(1,2): error TS1'] },
  ])
})

test('what is kept of failures is bounded: lines, their lengths, and failures', (t) => {
  const failure = `not ok 1 - long\n  ---\n${'    x\n'.repeat(35)}  ...\n`
  const long = run('tap', `${failure}# fail 1`, false).failures
  t.deepEqual([long.length, long[0]?.lines.length, long[0]?.lines.at(-1)], [1, 31, '… and 5 more lines'])
  const wide = run('tap', `not ok 1 - wide\n${'x'.repeat(100_000)}\n# fail 1`, false).failures
  t.true((wide[0]?.lines[0]?.length ?? 0) < 1_000)
  const many = run('tap', `${'not ok 1 - one of many\n'.repeat(1_000)}# fail 1000`, false)
  t.deepEqual([many.failures.length, many.failures.at(-1)?.name], [41, 'and 960 more'])
  t.is(many.failed, 1_000)
})

test('lines of passing tests become one line of progress per hundred, all others stay as they are', (t) => {
  const passing = Array.from({ length: 250 }, (_, index) => `ok ${index + 1} - passes`)
  const rest = ['not ok 251 - fails', '  ---', '    message: no', '  ...', 'ok 252 - skipped # SKIP', '\u001b[31mred\u001b[0m', '# pass 250', '# fail 1']
  t.deepEqual(run('tap', [...passing, ...rest].join('\n'), false).printed, ['… 100 tests passed', '… 200 tests passed', ...rest])
  t.deepEqual(run('cargo', 'test a ... ok\ntest b ... FAILED\ntest c ... ignored', false).printed, ['test b ... FAILED', 'test c ... ignored'])
})
