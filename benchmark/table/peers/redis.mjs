/** Redis over loopback with ioredis: hashes, one call on its way at a time, as a handler that awaits it has. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { createServer } from 'node:net'
import { Redis } from 'ioredis'

export async function open() {
  const port = await freePort()
  const server = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'], { stdio: ['ignore', 'pipe', 'ignore'] })
  process.once('exit', () => server.kill('SIGKILL'))
  for await (const line of createInterface({ input: server.stdout })) if (/Ready to accept/i.test(line)) break
  const redis = new Redis({ port, host: '127.0.0.1' })
  return {
    setRow: (key, row) => redis.hset(key, row),
    getRow: (key) => redis.hgetall(key),
    getColumn: (key) => redis.hget(key, 'id'),
    setColumn: (key, value) => redis.hset(key, 'id', value),
    incr: (key) => redis.hincrby(key, 'id', 1),
    /** Without a round trip for each row. */
    async fill(rows) {
      const pipeline = redis.pipeline()
      for (const [key, row] of rows) pipeline.hset(key, row)
      await pipeline.exec()
    },
    memory: async () => Number(/used_memory:(\d+)/.exec(await redis.info('memory'))[1]),
    async close() {
      redis.disconnect()
      const exited = once(server, 'exit')
      server.kill()
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
