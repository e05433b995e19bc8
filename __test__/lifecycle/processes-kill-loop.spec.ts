import { readdirSync, readFileSync } from 'node:fs'
import test from 'ava'
import { Lock } from 'sluice'

import { isAlive } from '../../src-ts/process/pid-file.ts'
import { get, Workplace } from '../cli/command.ts'
import { AppFolder, answering, next, startServer } from '../support/server.ts'

const { serial } = test
const ROUNDS = 8
/** Longest wait for the end of processes, in milliseconds: reached only when a promise is broken. */
const WAIT_LIMIT = 20_000

/** The children of this process that have ended and that nobody has asked for. */
function zombies(): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false
    try {
      const [, rest = ''] = /\) (.*)$/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? []
      const [state, parent] = rest.split(' ')
      return state === 'Z' && Number(parent) === process.pid
    } catch {
      return false
    }
  })
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + WAIT_LIMIT
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error(`waited ${WAIT_LIMIT} ms until ${what}`)
    await new Promise(setImmediate)
  }
}

serial('processes of every kind that are killed again and again come back, and nothing is left of them', async (t) => {
  const folder = await AppFolder.create(t)
  await folder.write(`export default ({ onRequest, signal }) => {
    onRequest((how) => (how === 'die' ? process.exit(9) : 'alive'))
    return new Promise((resolve) => signal.addEventListener('abort', resolve))
  }`, 'code.mjs')
  const server = await startServer(t, {
    app: await folder.write(answering('x')),
    root: folder.path('.'),
    workers: 1,
    processes: {
      thread: { file: 'code.mjs', restartInterval: 1 },
      child: { kind: 'process', file: 'code.mjs', restartInterval: 1 },
      // Its own child is in its process group, and goes with it.
      command: { command: ['sh', '-c', 'sleep 1000 & wait'], restartInterval: 1 },
    },
  })
  t.is(await server.process('thread').request('hello'), 'alive')
  t.is(await server.process('child').request('hello'), 'alive')
  const pids: number[] = []
  for (let round = 0; round < ROUNDS; round += 1) {
    const again = ['thread', 'child', 'command'].map((name) => next(server, 'processStart', (info) => info.name === name))
    for (const name of ['child', 'command']) {
      await until(`${name} runs`, () => server.stats().processes === 3)
      const pid = (await server.process(name).pid())!
      pids.push(pid)
      process.kill(pid, 'SIGKILL')
    }
    await t.throwsAsync(server.process('thread').request('die'), { code: 'ERR_SLUICE_PROCESS_GONE' })
    await Promise.all(again)
    t.is(await server.process('thread').request('hello'), 'alive')
    t.is(await server.process('child').request('hello'), 'alive')
  }
  t.deepEqual((await server.processes()).map(({ restarts, status }) => [restarts, status]), [1, 2, 3].map(() => [ROUNDS, 'running']))
  t.is(new Set(pids).size, 2 * ROUNDS)
  await server.shutdown()
  for (const pid of pids) t.false(isAlive(pid))
  if (process.platform === 'linux') await until('nothing is left', () => zombies().length === 0)
})

serial('a process of its own that is killed in the middle of its calls leaves nothing behind', async (t) => {
  const folder = await AppFolder.create(t)
  const sluice = import.meta.resolve('sluice')
  await folder.write(`import { defineTask } from '${sluice}'
export const echo = defineTask('echo', (input) => input)`, 'tasks.mjs')
  await folder.write(`import { Atomic, defineCache, Lock, rateLimit, server } from '${sluice}'
import { echo } from './tasks.mjs'
const large = 'x'.repeat(200_000)
export default async ({ onRequest }) => {
  onRequest(() => 'alive')
  const lock = new Lock('kill loop')
  const cache = defineCache('kill loop', { maxBytes: 1_000_000 })
  const limit = rateLimit('kill loop', { limit: 1_000_000, per: 1_000 })
  const atomic = new Atomic('kill loop')
  for (;;) {
    const held = await lock.acquire()
    const next = lock.acquire({ timeout: 10_000 })
    cache.set('large', large)
    if (cache.get('large') !== large) throw new Error('torn')
    limit.take('key')
    server.publish('topic', large)
    void echo.deliver(large).then(undefined, () => {})
    void atomic.wait(atomic.get(), { timeout: 1 })
    held.release()
    ;(await next).release()
    if (server.stats().workers !== 1) throw new Error('torn')
    await new Promise(setImmediate)
  }
}`, 'caller.mjs')
  const server = await startServer(t, {
    app: await folder.write(`import './tasks.mjs'\n${answering('x')}`),
    root: folder.path('.'),
    workers: 1,
    stateDir: folder.path('state'),
    tasks: { workers: 1 },
    processes: { one: { kind: 'process', file: 'caller.mjs', restartInterval: 1 }, two: { kind: 'process', file: 'caller.mjs', restartInterval: 1 } },
  })
  const errors: unknown[] = []
  server.on('processError', ({ error, reason }) => void (reason !== 'signal' && errors.push(reason, error)))
  for (let round = 0; round < ROUNDS / 2; round += 1) {
    await Promise.all(['one', 'two'].map(async (name) => {
      const handle = server.process(name)
      t.is(await handle.request('hello'), 'alive')
      const again = next(server, 'processStart', (info) => info.name === name)
      process.kill((await handle.pid())!, 'SIGKILL')
      await again
    }))
  }
  t.deepEqual(errors, [])
  t.is(await server.process('one').request('hello'), 'alive')
  for (const name of ['one', 'two']) {
    const gone = next(server, 'processError', ({ process: info }) => info.name === name)
    process.kill((await server.process(name).pid())!, 'SIGKILL')
    await gone
  }
  // Nothing of theirs is left in the line.
  const held = await new Lock('kill loop').acquire({ timeout: WAIT_LIMIT })
  held.release()
  await server.shutdown({ timeout: 500 })
})

serial('no process outlives a server that is killed, nor one that exits at once', async (t) => {
  const place = new Workplace(t, {
    'app.mjs': `
import { server } from 'sluice'
export default { fetch: async () => Response.json(await server.processes()) }`,
    'busy.mjs': `export default ({ onRequest }) => { onRequest(() => { for (;;); }); return new Promise(() => {}) }`,
    'idle.mjs': `export default () => new Promise(() => {})`,
    'sluice.config.mjs': `
import { server } from 'sluice'

export default {
  app: 'app.mjs',
  lifecycle: { listening: () => void server.process('busy').request('loop', { timeout: 2 ** 30 }).catch(() => {}) },
  processes: {
    busy: { kind: 'process', file: 'busy.mjs' },
    idle: { kind: 'process', file: 'idle.mjs' },
    command: { command: ['sleep', '1000'] },
  },
}`,
  })
  for (const end of ['SIGKILL', 'exit'] as const) {
    const server = await place.serve()
    let pids: number[] = []
    for (;;) {
      const infos = JSON.parse(await get(server.url)) as { pid: number; status: string }[]
      pids = infos.map(({ pid }) => pid)
      if (infos.every(({ status }) => status === 'running')) break
    }
    if (end === 'SIGKILL') process.kill(server.pid, 'SIGKILL')
    else {
      process.kill(server.pid, 'SIGINT')
      await server.said(/Stopping/)
      await until('the master has ended', () => {
        try {
          process.kill(server.pid, 'SIGINT')
        } catch {
          return true
        }
        return !isAlive(server.pid)
      })
    }
    await server.ended
    await until(`all processes have ended after ${end}`, () => !pids.some(isAlive))
    t.is(pids.length, 3)
  }
})
