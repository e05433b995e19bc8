/** BullMQ over a Redis of its own on loopback, queue and worker in one process; the CPU of Redis counts. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { Queue, QueueEvents, Worker } from 'bullmq'
import { loop } from '../loop.mjs'

/** Microseconds of a clock tick in /proc. */
const TICK = 10_000

export async function open() {
  const port = await freePort()
  const redis = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'], { stdio: ['ignore', 'pipe', 'ignore'] })
  process.once('exit', () => redis.kill('SIGKILL'))
  for await (const line of createInterface({ input: redis.stdout })) if (/Ready to accept/i.test(line)) break
  const connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null }
  const queue = new Queue('noop', { connection })
  const events = new QueueEvents('noop', { connection })
  const worker = new Worker('noop', async ({ data }) => data, { connection, concurrency: 64 })
  await Promise.all([queue.waitUntilReady(), events.waitUntilReady(), worker.waitUntilReady()])
  const cpuOfRedis = () => {
    const [user, system] = readFileSync(`/proc/${redis.pid}/stat`, 'utf8').split(') ')[1].split(' ').slice(11, 13)
    return (Number(user) + Number(system)) * TICK
  }
  const run = async () => {
    const job = await queue.add('noop', 7, { removeOnComplete: true })
    await job.waitUntilFinished(events)
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
