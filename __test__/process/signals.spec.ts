import { EventEmitter } from 'node:events'
import test from 'ava'
import { handleSignals, SAME_WISH_MS } from '../../src-ts/process/signals.ts'

function setUp() {
  const source = new EventEmitter()
  const done: string[] = []
  const clock = { now: 0 }
  const release = handleSignals(
    {
      stop: (signal) => done.push(`stop ${signal}`),
      stopNow: (signal, exitCode) => done.push(`now ${signal} ${exitCode}`),
      reload: () => done.push('reload'),
      reloadTasks: () => done.push('reload tasks'),
      reopenLogs: () => done.push('reopen'),
    },
    source,
    () => clock.now,
  )
  return { source, done, clock, release, send: (signal: string) => source.emit(signal, signal) }
}

for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT']) {
  test(`${signal} stops gracefully`, (t) => {
    const { send, done } = setUp()
    send(signal)
    t.deepEqual(done, [`stop ${signal}`])
  })
}

test('a second SIGINT stops now with 130, a second SIGTERM with 143', (t) => {
  const { send, done, clock } = setUp()
  send('SIGTERM')
  clock.now = SAME_WISH_MS
  send('SIGINT')
  send('SIGTERM')
  t.deepEqual(done, ['stop SIGTERM', 'now SIGINT 130', 'now SIGTERM 143'])
})

test('the same Ctrl+C arriving twice is one', (t) => {
  const { send, done, clock } = setUp()
  send('SIGINT')
  clock.now = SAME_WISH_MS - 1
  send('SIGINT')
  t.deepEqual(done, ['stop SIGINT'])
})

test('SIGQUIT never cuts a graceful stop short', (t) => {
  const { send, done, clock } = setUp()
  send('SIGQUIT')
  clock.now = 60_000
  send('SIGQUIT')
  t.deepEqual(done, ['stop SIGQUIT'])
})

test('SIGUSR1 reloads, SIGUSR2 reloads tasks, SIGHUP and SIGWINCH open logs again', (t) => {
  const { send, done } = setUp()
  for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGHUP', 'SIGWINCH']) send(signal)
  t.deepEqual(done, ['reload', 'reload tasks', 'reopen', 'reopen'])
})

test('after release no signal is listened to', (t) => {
  const { source, release } = setUp()
  release()
  t.deepEqual(source.eventNames(), [])
})
