import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { LogFile } from '../../src-ts/cli/log-file.ts'

function logPath(t: ExecutionContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-log-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return join(directory, 'logs', 'a.log')
}

test('lines are appended, in a directory that is made', (t) => {
  const path = logPath(t)
  new LogFile(path).write('a\n')
  new LogFile(path).write(Buffer.from('b\n'))
  t.is(readFileSync(path, 'utf8'), 'a\nb\n')
})

test('reopen() goes on in a new file after the old one was moved', (t) => {
  const path = logPath(t)
  const file = new LogFile(path)
  file.write('a\n')
  renameSync(path, `${path}.1`)
  file.write('b\n')
  file.reopen()
  file.write('c\n')
  t.is(readFileSync(`${path}.1`, 'utf8'), 'a\nb\n')
  t.is(readFileSync(path, 'utf8'), 'c\n')
})

test('reopen() goes on in the old file when a new one cannot be opened', (t) => {
  const path = logPath(t)
  const file = new LogFile(path)
  renameSync(join(path, '..'), join(path, '..', '..', 'moved'))
  file.reopen()
  file.write('b\n')
  t.regex(readFileSync(join(path, '..', '..', 'moved', 'a.log'), 'utf8'), /^Cannot open .* again: .*\nb\n$/)
})
