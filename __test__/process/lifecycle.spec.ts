import test from 'ava'

import type { ErrorSource } from '../../src-ts/process/api.ts'
import { Lifecycle } from '../../src-ts/process/lifecycle.ts'
import { settle } from './fake-clock.ts'

test('handlers run in the order they were added, each after the one before has settled', async (t) => {
  const lifecycle = new Lifecycle(undefined)
  const order: string[] = []
  lifecycle.configure({ message: [() => void order.push('configured')] }, ['message'])
  lifecycle.on('message', async () => {
    await settle()
    order.push('slow')
  })
  lifecycle.on('message', () => void order.push('last'))
  await lifecycle.run('message', 'main', null)
  t.deepEqual(order, ['configured', 'slow', 'last'])
})

test('configure() takes only the events it is told', async (t) => {
  const lifecycle = new Lifecycle(undefined)
  lifecycle.configure({ message: [() => t.fail()] }, ['serverStart'])
  await lifecycle.run('message', 'main', null)
  t.pass()
})

test('run() ends with the first handler that fails', async (t) => {
  const lifecycle = new Lifecycle(undefined)
  lifecycle.on('message', () => Promise.reject(new Error('refused')))
  lifecycle.on('message', () => t.fail())
  await t.throwsAsync(lifecycle.run('message', 'main', null), { message: 'refused' })
})

test('tell() reports a handler that fails and goes on', async (t) => {
  const lifecycle = new Lifecycle(3)
  const reported: [string, ErrorSource][] = []
  lifecycle.on('error', (error, source) => void reported.push([error.message, source]))
  let ran = false
  lifecycle.on('message', () => {
    throw new Error('broken')
  })
  lifecycle.on('message', () => {
    ran = true
  })
  await lifecycle.tell('message', 'main', null)
  await settle()
  t.true(ran)
  t.deepEqual(reported, [['broken', { phase: 'message', worker: 3 }]])
})

test('off(), `once` and an aborted signal take a handler away', async (t) => {
  const lifecycle = new Lifecycle(undefined)
  const calls: string[] = []
  const off = (): void => void calls.push('off')
  const stop = new AbortController()
  lifecycle.on('message', off)
  lifecycle.on('message', () => void calls.push('once'), { once: true })
  lifecycle.on('message', () => void calls.push('signal'), { signal: stop.signal })
  await lifecycle.tell('message', 'main', null)
  lifecycle.off('message', off)
  stop.abort()
  lifecycle.on('message', () => void calls.push('too late'), { signal: stop.signal })
  await lifecycle.tell('message', 'main', null)
  t.deepEqual(calls, ['off', 'once', 'signal'])
})

test('report() takes whatever was thrown, and says whose it is', async (t) => {
  const lifecycle = new Lifecycle(3)
  const reported: [string, unknown, ErrorSource][] = []
  lifecycle.on('error', (error, source) => void reported.push([error.message, error.cause, source]))
  const unreadable = new Proxy({}, { getPrototypeOf: () => { throw new Error('no') } })
  const bare: unknown = Object.create(null)
  lifecycle.report('text', 'task', { task: 'mail' })
  lifecycle.report(bare, 'cron', { task: 'nightly', worker: 5 })
  t.notThrows(() => lifecycle.report(unreadable, 'task'))
  await settle()
  t.is(reported.length, 3)
  t.deepEqual(reported[0], ['Thrown: "text"', 'text', { phase: 'task', worker: 3, task: 'mail' }])
  t.deepEqual(reported[1]![2], { phase: 'cron', worker: 5, task: 'nightly' })
  t.is(reported[1]![1], bare)
})
