/** BullMQ over a Redis of its own on loopback, queue and worker in one process, or a queue alone; the CPU of Redis counts. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Queue, QueueEvents, Worker } from 'bullmq'
import { loop } from '../loop.mjs'

/** Microseconds of a clock tick in /proc. */
const TICK = 10_000

export async function open(what) {
  const port = await freePort()
  const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'))
  const durability = { trip: ['--appendonly', 'no'], interval: ['--appendonly', 'yes', '--appendfsync', 'everysec'], always: ['--appendonly', 'yes', '--appendfsync', 'always'] }[what]
  const redis = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', ...durability], { stdio: ['ignore', 'pipe', 'ignore'] })
  process.once('exit', () => redis.kill('SIGKILL'))
  for await (const line of createInterface({ input: redis.stdout })) if (/Ready to accept/i.test(line)) break
  const connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null }
  const queue = new Queue('noop', { connection })
  const events = new QueueEvents('noop', { connection })
  // Every awaited job listens for the end of both.
  queue.setMaxListeners(0)
  events.setMaxListeners(0)
  const worker = what === 'trip' ? new Worker('noop', async ({ data }) => data, { connection, concurrency: 64 }) : undefined
  await Promise.all([queue.waitUntilReady(), events.waitUntilReady(), worker?.waitUntilReady()])
  const cpuOfRedis = () => {
    const [user, system] = readFileSync(`/proc/${redis.pid}/stat`, 'utf8').split(') ')[1].split(' ').slice(11, 13)
    return (Number(user) + Number(system)) * TICK
  }
  const run = async () => {
    const job = await queue.add('noop', 7, { removeOnComplete: 10_000 })
    if (worker) await job.waitUntilFinished(events)
  }
  return {
    async measure(inflight, millis) {
      const before = cpuOfRedis()
      const result = await loop(run, inflight, millis)
      return { ...result, cpuMicros: result.cpuMicros + cpuOfRedis() - before }
    },
    async close() {
      const exited = once(redis, 'exit')
      redis.kill('SIGKILL')
      await exited
      rmSync(folder, { recursive: true })
    }
  }
}

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address()
  probe.close()
  await once(probe, 'close')
  return port
}
