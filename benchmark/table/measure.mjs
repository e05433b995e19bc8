/**
 * One measurement in a process of its own: `node measure.mjs PEER time CASE MILLISECONDS` prints nanoseconds for a call, `PEER memory ROWS`
 * bytes, `sluice threads N MILLISECONDS` calls a second of N threads.
 */
import { once } from 'node:events'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { blockColumns, blockRow, cases, columns, keys, rowOf, rows } from './cases.mjs'

const BATCH = 1000
const [name, kind, what, millis] = isMainThread ? process.argv.slice(2) : workerData

const { open } = await import(`./peers/${name}.mjs`)
if (!isMainThread) await share()
else if (kind === 'time') console.log(await time())
else if (kind === 'memory') console.log(await memory(Number(what)))
else console.log(await threads(Number(what)))

async function time() {
  const peer = await open({ rows, columns })
  for (let index = 0; index < rows; index++) await peer.setRow(keys[index], rowOf(index))
  const call = cases[what](peer)
  const isAsync = call(keys[0], 0) instanceof Promise
  const run = isAsync ? runAsync : runSync
  await run(call, Number(millis) / 2)
  const best = await run(call, Number(millis))
  await peer.close()
  return best
}

/** Nanoseconds for a call, without those that choosing the key takes. */
async function runSync(call, millis) {
  const { count, nanos } = loop(call, millis)
  const bare = loop((key) => key, millis / 4)
  return nanos / count - bare.nanos / bare.count
}

function loop(call, millis) {
  const end = process.hrtime.bigint() + BigInt(Math.round(millis * 1e6))
  const start = process.hrtime.bigint()
  let count = 0
  let at = 0
  while (process.hrtime.bigint() < end) {
    for (let left = BATCH; left > 0; left--) {
      call(keys[at], count)
      at = at + 7919 < rows ? at + 7919 : at + 7919 - rows
    }
    count += BATCH
  }
  return { count, nanos: Number(process.hrtime.bigint() - start) }
}

async function runAsync(call, millis) {
  const start = process.hrtime.bigint()
  let count = 0
  while (Number(process.hrtime.bigint() - start) < millis * 1e6) {
    for (let left = 100; left > 0; left--) await call(keys[count++ % rows], count)
  }
  return Number(process.hrtime.bigint() - start) / count
}

/** Bytes that `count` rows of 64 bytes take. */
async function memory(count) {
  const peer = await open({ rows: count, columns: blockColumns })
  const batch = function* (from) {
    for (let index = from; index < Math.min(count, from + 10_000); index++) yield [`user:${index}`, blockRow(index)]
  }
  for (let from = 0; from < count; from += 10_000) {
    if (peer.fill) await peer.fill(batch(from))
    else for (const [key, row] of batch(from)) peer.setRow(key, row)
  }
  const bytes = await peer.memory()
  await peer.close()
  return bytes
}

/** Calls a second of `count` threads together, each on rows of its own. */
async function threads(count) {
  const start = new Int32Array(new SharedArrayBuffer(4))
  const workers = Array.from({ length: count }, (_, thread) => new Worker(new URL(import.meta.url), { workerData: [name, kind, thread, millis, start] }))
  await Promise.all(workers.map((worker) => once(worker, 'message')))
  const results = workers.map((worker) => once(worker, 'message'))
  Atomics.store(start, 0, 1)
  Atomics.notify(start, 0)
  const rates = (await Promise.all(results)).map(([rate]) => rate)
  return rates.reduce((sum, rate) => sum + rate, 0)
}

async function share() {
  const start = workerData[4]
  const peer = open({ rows, columns })
  const own = Array.from({ length: 1024 }, (_, index) => `thread ${what}:${index}`)
  for (const key of own) peer.setRow(key, rowOf(1))
  const run = (millis) => {
    const begin = process.hrtime.bigint()
    let count = 0
    while (Number(process.hrtime.bigint() - begin) < millis * 1e6) for (const key of own) peer.incr(key, count++)
    return (count / Number(process.hrtime.bigint() - begin)) * 1e9
  }
  run(Number(millis) / 2)
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a MessagePort; only windows have origins
  parentPort.postMessage('ready')
  Atomics.wait(start, 0, 0)
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- as above
  parentPort.postMessage(run(Number(millis)))
}
