import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { isAlive, PidFile, runningPid } from '../../src-ts/process/pid-file.ts'

function pidPath(t: ExecutionContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-pid-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  return join(directory, 'sluice.pid')
}

/** A process that lives until the test ends, and has `open` open. */
async function startProcess(t: ExecutionContext, open?: string): Promise<number> {
  const script = `${open === undefined ? '' : `require('node:fs').openSync(${JSON.stringify(open)}, 'r');`}console.log('up');process.stdin.resume()`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  return child.pid as number
}

async function deadPid(): Promise<number> {
  const child = spawn(process.execPath, ['-e', ''])
  await once(child, 'exit')
  return child.pid as number
}

test('claim() writes the pid and a line feed, release() removes the file', (t) => {
  const path = pidPath(t)
  const file = PidFile.claim(path)
  t.is(readFileSync(path, 'utf8'), `${process.pid}\n`)
  t.deepEqual(readdirSync(join(path, '..')), ['sluice.pid'])
  if (typeof file === 'number') return t.fail()
  file.release()
  file.release()
  t.false(existsSync(path))
})

test('claim() gives the pid of a master that runs and leaves its file', async (t) => {
  const path = pidPath(t)
  writeFileSync(path, '')
  const pid = await startProcess(t, path)
  writeFileSync(path, `${pid}\n`)
  t.is(PidFile.claim(path), pid)
  t.is(readFileSync(path, 'utf8'), `${pid}\n`)
  t.is(runningPid(path), pid)
})

for (const text of ['', 'x', '0', '-1', '1 2', `${process.pid}\n`]) {
  test(`claim() replaces a file with ${JSON.stringify(text.replace(String(process.pid), 'its own pid'))}`, (t) => {
    const path = pidPath(t)
    writeFileSync(path, text)
    const file = PidFile.claim(path)
    t.is(readFileSync(path, 'utf8'), `${process.pid}\n`)
    if (typeof file !== 'number') file.release()
  })
}

test('the file of a dead master is stale', async (t) => {
  const path = pidPath(t)
  writeFileSync(path, `${await deadPid()}\n`)
  t.is(runningPid(path), undefined)
})

const hasProc = existsSync('/proc/self/fd')
;(hasProc ? test : test.skip)('a process that merely has the pid of a dead master is no master', async (t) => {
  const path = pidPath(t)
  writeFileSync(path, `${await startProcess(t)}\n`)
  t.is(runningPid(path), undefined)
})

test('release() leaves the file of the master that has taken its place', async (t) => {
  const path = pidPath(t)
  const file = PidFile.claim(path)
  rmSync(path)
  writeFileSync(path, '12345\n')
  if (typeof file === 'number') return t.fail()
  file.release()
  t.is(readFileSync(path, 'utf8'), '12345\n')
})

test('runningPid() of no file is undefined', (t) => {
  t.is(runningPid(pidPath(t)), undefined)
})

test('isAlive() knows the living from the dead', async (t) => {
  t.true(isAlive(process.pid))
  t.false(isAlive(await deadPid()))
})
