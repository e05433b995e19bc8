import test from 'ava'
import { controlHandlers } from '../../src-ts/cli/control-handlers.ts'
import type { StopOptions } from '../../src-ts/cli/server-state.ts'
import { parseConfig } from '../../src-ts/options.ts'
import type { Server } from '../../src-ts/process/api.ts'

/** What the handlers have called, as `[method, …arguments]`. */
function handlers({ open = [1], sent = 5 }: { open?: number[]; sent?: number } = {}) {
  const calls: unknown[][] = []
  const stops: StopOptions[] = []
  const call =
    (method: string, result: number) =>
    (...args: unknown[]) => {
      calls.push([method, ...args])
      return result
    }
  const server: Pick<Server, 'push' | 'sendToUid' | 'sendToGroup' | 'publish' | 'broadcast' | 'isEstablished'> = {
    isEstablished: (id) => open.includes(id),
    push: call('push', sent),
    sendToUid: call('sendToUid', 2),
    sendToGroup: call('sendToGroup', 3),
    publish: call('publish', 4),
    broadcast: call('broadcast', 5),
  }
  const answers = controlHandlers(server as Server, parseConfig({}), { args: [], stop: (options) => void stops.push(options) })
  return { answers, calls, stops }
}

for (const [target, connections, call] of [
  ['1', 1, ['push', 1, 'hi']],
  ['uid:7', 2, ['sendToUid', '7', 'hi']],
  ['group:a', 3, ['sendToGroup', 'a', 'hi']],
  ['topic:t', 4, ['publish', 't', 'hi']],
  ['all', 5, ['broadcast', 'hi']],
] as const) {
  test(`push to ${target} reaches the server once and answers how many it was for`, (t) => {
    const { answers, calls } = handlers()
    t.deepEqual(answers.push({ target, text: 'hi' }), { connections })
    t.deepEqual(calls, [[...call]])
  })
}

test('push to an id counts a slow connection, but none that is full, gone or no WebSocket', (t) => {
  t.deepEqual(handlers({ sent: -1 }).answers.push({ target: '1', text: '' }), { connections: 1 })
  t.deepEqual(handlers({ sent: 0 }).answers.push({ target: '1', text: '' }), { connections: 0 })
  const { answers, calls } = handlers({ open: [] })
  t.deepEqual(answers.push({ target: '1', text: '' }), { connections: 0 })
  t.deepEqual(calls, [])
})

test('push takes bytes as base64', (t) => {
  const { answers, calls } = handlers()
  answers.push({ target: 'all', base64: '/wA=' })
  t.deepEqual(calls, [['broadcast', Buffer.from([255, 0])]])
})

for (const [what, params] of Object.entries({
  'no parameters': undefined,
  'no target': { text: '' },
  'a target that is none': { target: 'everyone', text: '' },
  'a target of 600 characters': { target: `uid:${'x'.repeat(600)}`, text: '' },
  'a target that is a number': { target: 1, text: '' },
  'no message': { target: 'all' },
  'a message that is a number': { target: 'all', text: 1 },
  'two messages': { target: 'all', text: '', base64: '' },
  'base64 that is none': { target: 'all', base64: '/wA' },
  'base64 with a line break': { target: 'all', base64: '/wA\n' },
})) {
  test(`push refuses ${what} and sends nothing`, (t) => {
    const { answers, calls } = handlers()
    t.throws(() => answers.push(params), { instanceOf: TypeError })
    t.deepEqual(calls, [])
  })
}

test('stop closes WebSockets with 1012 only for a restart', (t) => {
  const { answers, stops } = handlers()
  answers.stop(undefined)
  answers.stop({ timeout: 5, restart: false })
  answers.stop({ restart: true })
  t.deepEqual(stops, [{}, { timeout: 5 }, { closeCode: 1012 }])
  t.throws(() => answers.stop({ restart: 'yes' }), { instanceOf: TypeError })
  t.is(stops.length, 3)
})
