import test from 'ava'

import { toRecord } from '../../src-ts/process/error-record.ts'
import { parseMasterMessage, parseWorkerMessage, type MasterMessage, type WorkerMessage } from '../../src-ts/process/messages.ts'

const error = toRecord(new Error('x'))

const fromMaster: MasterMessage[] = [
  { type: 'drain', reason: 'reload' },
  { type: 'stop', timeout: 0 },
  { type: 'message', from: 'main', data: { any: ['thing'] } },
  { type: 'message', from: 3, data: undefined },
  { type: 'reply', id: 1, error, result: undefined },
  { type: 'reply', id: 2, error: undefined, result: { ok: true, rolledBack: false, error: undefined } },
]
const fromWorker: WorkerMessage[] = [
  { type: 'ready' },
  { type: 'stopped' },
  { type: 'start-failed', error },
  { type: 'fatal', reason: 'reject', error },
  { type: 'error', phase: 'fetch', error, more: 2 },
  { type: 'error', phase: 'task', task: 'mail', error, more: 0 },
  { type: 'message', to: 'others', data: 1 },
  { type: 'message', to: 0, data: 1 },
  { type: 'read', count: 128 },
  { type: 'call', id: 1, method: 'reload', version: 'v2', only: ['tasks'] },
  { type: 'call', id: 2, method: 'stopWorker', worker: 1 },
  { type: 'call', id: 3, method: 'shutdown', timeout: undefined },
]

for (const message of fromMaster) {
  test(`the worker reads ${message.type} as it was sent: ${JSON.stringify(message).slice(0, 60)}`, (t) => {
    t.deepEqual(parseMasterMessage(structuredClone(message)), message)
  })
}

for (const message of fromWorker) {
  test(`the master reads ${message.type} as it was sent: ${JSON.stringify(message).slice(0, 60)}`, (t) => {
    t.deepEqual(parseWorkerMessage(structuredClone(message)), message)
  })
}

test('nothing else is a message', (t) => {
  const wrong: unknown[] = [
    undefined,
    null,
    'ready',
    {},
    { type: 'unknown' },
    { type: 'stop', timeout: -1 },
    { type: 'stop', timeout: Number.NaN },
    { type: 'drain', reason: 'whim' },
    { type: 'message', from: -1, data: 1 },
    { type: 'reply' },
    { type: 'fatal', reason: 'whim', error },
    { type: 'fatal', reason: 'throw' },
    { type: 'error', phase: 'x', error, more: 1.5 },
    { type: 'message', to: 'nobody', data: 1 },
    { type: 'read', count: -1 },
    { type: 'call', id: 1, method: 'constructor' },
    { type: 'call', id: 1, method: 'reload', version: 3 },
    { type: 'call', id: 'x', method: 'shutdown' },
  ]
  for (const value of wrong) {
    t.is(parseMasterMessage(value), undefined, `as from the master: ${JSON.stringify(value)}`)
    t.is(parseWorkerMessage(value), undefined, `as from a worker: ${JSON.stringify(value)}`)
  }
})
