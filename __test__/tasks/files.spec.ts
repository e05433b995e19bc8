import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { findFiles } from '../../src-ts/tasks/files.ts'

/** A folder with these files. */
function folder(t: ExecutionContext, ...names: string[]): string {
  const root = mkdtempSync(join(tmpdir(), 'sluice-files-'))
  t.teardown(() => rmSync(root, { recursive: true, force: true }))
  for (const name of names) {
    mkdirSync(dirname(join(root, name)), { recursive: true })
    writeFileSync(join(root, name), '')
  }
  return root
}

const names = ['tasks/b.js', 'tasks/a.js', 'tasks/a.txt', 'tasks/.hidden.js', 'tasks/deep/er/c.js', 'tasks/node_modules/x/d.js', 'other.task.js', 'a+b/x.js']

const finds = test.macro<[patterns: string[], found: string[]]>({
  exec: (t, patterns, found) => {
    const root = folder(t, ...names)
    t.deepEqual(findFiles(patterns, root).map((path) => path.slice(root.length + 1)), found)
  },
  title: (_, patterns) => `${patterns.join(' and ')} finds`,
})
test(finds, ['tasks/*.js'], ['tasks/a.js', 'tasks/b.js'])
test(finds, ['tasks/**/*.js'], ['tasks/a.js', 'tasks/b.js', 'tasks/deep/er/c.js'])
test(finds, ['*/x.js', '*.task.js'], ['a+b/x.js', 'other.task.js'])
test(finds, ['a+b/*.js'], ['a+b/x.js'])
test(finds, ['tasks/b.js', 'tasks/*.js'], ['tasks/b.js', 'tasks/a.js'])
test(finds, ['not/there.js'], ['not/there.js'])

test('a pattern that nothing fits is an error', (t) => {
  const root = folder(t, ...names)
  t.throws(() => findFiles(['tasks/a.js', 'tasks/*.ts'], root), { instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_OPTION', message: /^tasks\.files\[1\]: no file fits "tasks\/\*\.ts"/ })
})

test('a folder that is not there is no file that fits', (t) => {
  t.throws(() => findFiles(['nowhere/*.js'], folder(t)), { code: 'ERR_SLUICE_INVALID_OPTION' })
})
