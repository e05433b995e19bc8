/** Events and their listeners, in one thread on a core that the test plays. */
import test, { type ExecutionContext } from 'ava'
import { sluiceError } from '../../src-ts/errors.ts'
import { Event } from '../../src-ts/events/event.ts'
import { Listener } from '../../src-ts/events/listener.ts'
import type { TaskContext } from '../../src-ts/tasks/context.ts'
import { FakeTasks, type Ended } from '../support/fake-tasks.ts'

function thread(t: ExecutionContext, options: ConstructorParameters<typeof FakeTasks>[0] = {}): FakeTasks {
  const tasks = new FakeTasks(options)
  t.teardown(() => tasks.leave())
  log.length = 0
  return tasks
}

const log: unknown[] = []

class Paid extends Event {
  readonly order: number
  seen: string[] = []
  listeners: readonly (new () => Listener)[] = [First, Second, Third]
  constructor(order: number) {
    super()
    this.order = order
  }
}

class First extends Listener<Paid> {
  async handle(event: Paid): Promise<void> {
    await undefined
    event.seen.push('first')
    log.push(['first', event.order, event instanceof Paid])
  }
}

class Second extends Listener<Paid> {
  handle(event: Paid, ctx: TaskContext): void | false {
    log.push(['second', ...event.seen, ctx.attempt, ctx.tries])
    if (event.order === 2) return false
    if (event.order === 3) event.stopPropagation()
    if (event.order === 4) throw new Error(`try ${ctx.attempt}`)
  }
}

class Third extends Listener<Paid> {
  handle(): void {
    log.push('third')
  }
}

async function run(tasks: FakeTasks): Promise<Ended> {
  tasks.run()
  while (tasks.pending > 0) await new Promise(setImmediate)
  return tasks.ended.at(-1)!
}

test.serial('listeners run in order on one object, each awaited', async (t) => {
  const tasks = thread(t)
  const handle = Event.fire(new Paid(1).delay(7))
  t.like(tasks.last, { name: 'Paid', options: [0, 7, 1, 0, 0, 0, 0, 0, -1, 0] })
  const { bytes, outcome } = await run(tasks)
  t.is(outcome, 0)
  t.deepEqual(log, [['first', 1, true], ['second', 'first', 1, 1], 'third'])
  tasks.result(tasks.last.id, 0, bytes)
  t.is(await handle, undefined)
})

test.serial('false, and stopPropagation(), stop the rest', async (t) => {
  for (const order of [2, 3]) {
    const tasks = thread(t)
    Event.fire(new Paid(order))
    t.is((await run(tasks)).outcome, 0)
    t.deepEqual(log, [['first', order, true], ['second', 'first', 1, 1]])
    tasks.leave()
  }
})

test.serial('each listener has its own tries; one that fails all is told once and does not stop the rest', async (t) => {
  const tasks = thread(t)
  Event.fire(new Paid(4).setTries(3), { backoff: 1 })
  t.is(tasks.last.options[2], 1, 'the event itself is delivered once')
  t.is((await run(tasks)).outcome, 0)
  t.deepEqual(log, [['first', 4, true], ['second', 'first', 1, 3], ['second', 'first', 2, 3], ['second', 'first', 3, 3], 'third'])
  t.deepEqual(tasks.reports.map((error) => (error as Error).message), ['try 3'])
})

test.serial('listeners of a getter need not be known', async (t) => {
  const tasks = thread(t, { classes: 'require' })
  class Local extends Listener {
    handle(): void {
      log.push('local')
    }
  }
  class Shipped extends Event {
    static {
      this.register()
    }
    get listeners(): readonly (new () => Listener)[] {
      return [Local]
    }
  }
  Event.fire(new Shipped())
  t.is((await run(tasks)).outcome, 0)
  t.deepEqual(log, ['local'])
})

test.serial('what nobody could run is refused where it is fired', (t) => {
  const tasks = thread(t, { classes: 'require' })
  class Unknown extends Listener {
    handle(): void {}
  }
  class Lost extends Event {
    listeners = [Unknown]
  }
  t.throws(() => Event.fire(new Lost()), { code: 'ERR_SLUICE_TASK_UNKNOWN', message: /"Lost"/ })
  Lost.register()
  t.throws(() => Event.fire(new Lost()), { code: 'ERR_SLUICE_TASK_UNKNOWN', message: /"Unknown"/ })
  t.deepEqual(tasks.submitted, [])
  Unknown.register()
  t.notThrows(() => Event.fire(new Lost()))
})

test.serial('an event is checked where it is fired', (t) => {
  thread(t)
  class Bad extends Event {
    listeners = [Date as unknown as new () => Listener]
  }
  t.throws(() => Event.fire(new Bad()), { code: 'ERR_SLUICE_INVALID_ARG', message: '`listeners` of event "Bad" must be a list of classes that extend Listener' })
  t.throws(() => Event.fire({} as Event), { code: 'ERR_SLUICE_INVALID_ARG' })
  t.throws(() => Event.fire(new Paid(1), { backoff: { type: 'exponential', base: 1 } }), { code: 'ERR_SLUICE_INVALID_ARG' })
})

test.serial('an event that is cancelled goes no further', async (t) => {
  const tasks = thread(t)
  Event.fire(new Paid(4).setTries(1000), { backoff: 60_000 })
  tasks.run()
  while (log.length < 2) await new Promise(setImmediate)
  tasks.abort(tasks.last.id + 100, 0)
  while (tasks.pending > 0) await new Promise(setImmediate)
  t.is(log.length, 2)
  t.deepEqual(tasks.reports, [])
})

test.serial('one whose handler does not look at the signal is the last that runs', async (t) => {
  const tasks = thread(t)
  Event.fire(new Paid(1))
  tasks.run()
  tasks.abort(tasks.last.id + 100, 0)
  while (tasks.pending > 0) await new Promise(setImmediate)
  t.deepEqual(log, [['first', 1, true]])
  t.deepEqual(tasks.reports, [])
})

test.serial('a listener that cannot be made has failed as one that throws, and the next one runs', async (t) => {
  const tasks = thread(t)
  let made = 0
  class Broken extends Listener {
    constructor() {
      super()
      throw new Error(`made ${++made} times`)
    }
    handle(): void {}
  }
  class Torn extends Event {
    listeners = [Broken, Third]
  }
  Event.fire(new Torn().setTries(2))
  t.is((await run(tasks)).outcome, 0)
  t.deepEqual(log, ['third'])
  t.deepEqual(tasks.reports.map((error) => (error as Error).message), ['made 2 times'])
})

test.serial('a worker that must go still runs the listeners of an event', async (t) => {
  const tasks = thread(t)
  tasks.calls.abort(sluiceError('ERR_SLUICE_SHUTTING_DOWN', 'going'))
  Event.fire(new Paid(1))
  t.is((await run(tasks)).outcome, 0)
  t.deepEqual(log, [['first', 1, true], ['second', 'first', 1, 1], 'third'])
})
