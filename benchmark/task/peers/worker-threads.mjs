/** A bare worker thread: a message there, a message back, told apart by a number. */
import { fileURLToPath } from 'node:url'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { loop } from '../loop.mjs'

// oxlint-disable unicorn/require-post-message-target-origin -- MessagePorts; only windows have origins
if (!isMainThread) parentPort.on('message', ({ id, input }) => parentPort.postMessage({ id, result: input }))

export async function open() {
  const worker = new Worker(fileURLToPath(import.meta.url))
  const pending = new Map()
  let last = 0
  worker.on('message', ({ id, result }) => {
    pending.get(id)(result)
    pending.delete(id)
  })
  const run = (input) =>
    new Promise((resolve) => {
      pending.set(++last, resolve)
      worker.postMessage({ id: last, input })
    })
  return { measure: (inflight, millis) => loop(() => run(7), inflight, millis), close: () => worker.terminate() }
}
