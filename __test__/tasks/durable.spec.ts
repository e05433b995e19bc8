/** Tasks that outlive the process that was killed. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { createServer } from 'sluice'

import { Workplace } from '../cli/command.ts'

const KILLS = 20
/** Delivered in each life. */
const TASKS = 50
/** Longest wait for anything, in milliseconds. */
const LIMIT = 30_000
const script = fileURLToPath(new URL('../fixtures/durable.mjs', import.meta.url))

interface List {
  queues: { waiting: number; delayed: number; running: number }[]
  failed: { id: string }[]
}

/** A server process. */
class Life {
  readonly #process: ChildProcess
  readonly #port: string
  /** What it said of errors. */
  readonly said: string[] = []

  /** `shell` runs before it in its process. */
  static async start(t: ExecutionContext, path: string, fsync: string, shell = ':'): Promise<Life> {
    const child = spawn('bash', ['-c', `${shell}; exec "$0" "$@"`, process.execPath, script, 'serve', path, fsync], { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, NODE_OPTIONS: '' } })
    t.teardown(() => child.kill('SIGKILL'))
    const lines = createInterface({ input: child.stdout! })
    const [port] = (await once(lines, 'line', { signal: AbortSignal.timeout(LIMIT) })) as [string]
    const life = new Life(child, port)
    lines.on('line', (line) => life.said.push(line))
    return life
  }

  constructor(child: ChildProcess, port: string) {
    this.#process = child
    this.#port = port
  }

  get pid(): number {
    return this.#process.pid!
  }

  async ask<T>(path: string): Promise<T> {
    const response = await fetch(`http://127.0.0.1:${this.#port}${path}`, { signal: AbortSignal.timeout(LIMIT) })
    return (await response.json()) as T
  }

  async kill(): Promise<void> {
    this.#process.kill('SIGKILL')
    if (this.#process.signalCode === null) await once(this.#process, 'exit')
  }

  /** When nothing waits or runs any more. */
  async drained(): Promise<void> {
    for (const end = Date.now() + LIMIT; ; ) {
      const { queues } = await this.ask<List>('/list')
      if (queues.every(({ delayed, running, waiting }) => delayed + running + waiting === 0)) return
      if (Date.now() > end) throw new Error(`Waited ${LIMIT} ms for the end of ${JSON.stringify(queues)}`)
    }
  }
}

const lines = (file: string): number[] => (existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1).map(Number) : [])

const survives = test.macro<[fsync: string, kills: number]>({
  async exec(t, fsync, kills) {
    const place = new Workplace(t)
    const [path, file] = [place.file('tasks.log'), place.file('lines')]
    const stored: number[] = []
    let next = 1
    for (let round = 0; round < kills; round += 1) {
      const life = await Life.start(t, path, fsync)
      const from = next
      next += 2 * TASKS
      const query = `file=${encodeURIComponent(file)}&count=${TASKS}`
      await life.ask(`/deliver?from=${from}&${query}&delay=${round % 3}`)
      stored.push(...Array.from({ length: TASKS }, (_, index) => from + index))
      // Those of which nobody was told may be there or not.
      const unknown = life.ask(`/deliver?from=${from + TASKS}&${query}`).then(undefined, () => undefined)
      if (round % 2 === 0) await new Promise(setImmediate)
      await life.kill()
      await unknown
    }
    const last = await Life.start(t, path, fsync)
    await last.drained()
    const done = lines(file)
    const seen = new Set(done)
    t.deepEqual(stored.filter((line) => !seen.has(line)), [])
    t.true([...seen].every((line) => line >= 1 && line < next))
    t.log(`${kills} kills, ${stored.length} stored, 0 lost, ${done.length - seen.size} of ${seen.size} run twice`)
    // Only what was in the hands of the worker when it was killed.
    t.true(done.length - seen.size <= kills * 16)
    await last.kill()
  },
  title: (_, fsync, kills) => `fsync ${fsync}: ${kills} kills of the server lose no task that was stored`,
})
test.serial(survives, 'always', KILLS)
test.serial(survives, 'interval', 5)

test.serial('what has failed is there after a kill, and can be tried again', async (t) => {
  const path = new Workplace(t).file('tasks.log')
  const first = await Life.start(t, path, 'always')
  const { id, message } = await first.ask<{ id: string; message: string }>('/fail')
  t.is(message, 'as always')
  t.is(await first.ask('/forgotten?file=none'), 'ERR_SLUICE_INVALID_STATE')
  // The end of a task is written with what is stored next.
  await first.ask(`/deliver?from=1&count=1&file=${encodeURIComponent(`${path}.lines`)}`)
  await first.kill()

  const second = await Life.start(t, path, 'always')
  const { failed, queues } = await second.ask<List>('/list')
  t.like(failed, { length: 1, 0: { id, name: 'fail', attempts: 1, queue: 'default' } })
  t.is(queues[0]!.delayed, 0)
  t.true(await second.ask(`/retry?id=${id}`))
  await second.drained()
  t.like((await second.ask<List>('/list')).failed, { length: 1, 0: { id } })
  await second.kill()
})

test.serial('a journal that cannot be read, or is in use, refuses the start', async (t) => {
  const place = new Workplace(t)
  const path = place.file('tasks.log')
  const start = async (): Promise<unknown> => createServer({ app: script, workers: 1, listen: { port: 0 }, stateDir: false, tasks: { durable: { path } } })
  writeFileSync(path, 'this is no journal of tasks, but a text')
  await t.throwsAsync(start, { code: 'ERR_SLUICE_TASKS_JOURNAL', message: /tasks\.log.*found another kind of file, expected one that begins with/ })
  const life = await Life.start(t, place.file('other.log'), 'always')
  await t.throwsAsync(async () => createServer({ app: script, workers: 1, listen: { port: 0 }, stateDir: false, tasks: { durable: { path: place.file('other.log') } } }), {
    code: 'ERR_SLUICE_TASKS_JOURNAL',
    message: /in use by another server/,
  })
  await life.kill()
})

// As a disk that is full: the system refuses to make the file longer, with EFBIG in place of ENOSPC.
test.serial('what the disk does not take is told, runs all the same, and is stored again once there is room', async (t) => {
  const place = new Workplace(t)
  const [path, file] = [place.file('tasks.log'), place.file('lines')]
  const life = await Life.start(t, path, 'always', 'trap "" XFSZ; ulimit -S -f 64')
  const store = (bytes: number): Promise<{ stored: unknown; result: string }> => life.ask(`/store?bytes=${bytes}&file=${encodeURIComponent(file)}`)
  t.deepEqual(await store(1000), { stored: 'stored', result: 'done' })
  for (const [round, bytes] of [100_000, 200_000].entries()) {
    const { stored, result } = await store(bytes)
    t.like(stored, { code: 'ERR_SLUICE_TASKS_JOURNAL' })
    t.regex((stored as Error).message, /^Task "write" \(id \d+\) is not stored: .*File too large/)
    t.is(result, 'done')
    if (round === 0) while (life.said.length === 0) await new Promise(setImmediate)
  }
  execFileSync('prlimit', ['--pid', String(life.pid), '--fsize=unlimited'])
  t.deepEqual(await store(100_000), { stored: 'stored', result: 'done' })
  t.deepEqual(life.said, ['error task ERR_SLUICE_TASKS_JOURNAL'])
  // What was stored before, between and after is a journal that can be read.
  await life.ask(`/deliver?from=7&count=1&delay=60000&file=${encodeURIComponent(file)}`)
  await life.kill()
  const next = await Life.start(t, path, 'always')
  t.like((await next.ask<List>('/list')).queues[0], { delayed: 1 })
  t.deepEqual(lines(file), [1, 1, 1, 1])
  await next.kill()
})
