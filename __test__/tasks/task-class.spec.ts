/** Tasks as classes, in one thread on a core that the test plays. */
import test, { type ExecutionContext } from 'ava'
import { encodeError } from '../../src-ts/tasks/failure.ts'
import { registerExports } from '../../src-ts/tasks/register-exports.ts'
import { Task } from '../../src-ts/tasks/task-class.ts'
import { FakeTasks } from '../support/fake-tasks.ts'

function thread(t: ExecutionContext, options: ConstructorParameters<typeof FakeTasks>[0] = {}): FakeTasks {
  const tasks = new FakeTasks(options)
  t.teardown(() => tasks.leave())
  return tasks
}

const log: unknown[] = []

class SendMail extends Task<string> {
  readonly to: string
  sent = 0
  constructor(to: string) {
    log.push('constructor')
    super()
    this.to = to
  }
  handle(): string {
    this.sent++
    return `to ${this.to}`
  }
  override finish(result: string): void {
    log.push(['finish', this instanceof SendMail, result, this.sent])
  }
  override failed(error: unknown): void {
    log.push(['failed', (error as Error).message, this.sent])
  }
}

test.serial('the fields travel, handle runs on them without a constructor call, finish on what it left', async (t) => {
  const tasks = thread(t)
  log.length = 0
  const handle = Task.deliver(new SendMail('ada').delay(5).setTries(3))
  t.like(tasks.last, { name: 'SendMail', options: [0, 5, 3, 0, 0, 0, 0, 0, -1, 3] })
  tasks.run()
  while (tasks.ended.length === 0) await undefined
  const { bytes, outcome } = tasks.ended[0]!
  t.is(outcome, 0)
  tasks.run(tasks.last, { mode: 1, extra: bytes })
  tasks.run(tasks.last, { mode: 2, end: 1, extra: encodeError(new Error('no')) })
  tasks.result(tasks.last.id, 0, bytes)
  t.is(await handle, 'to ada')
  t.deepEqual(log, ['constructor', ['finish', true, 'to ada', 1], ['failed', 'no', 0]])
})

test.serial('what a delivery says goes before what was said of the object', (t) => {
  const tasks = thread(t)
  Task.deliver(new SendMail('ada').setTries(3).delay(9), { tries: 2 })
  t.deepEqual(tasks.last.options.slice(1, 3), [9, 2])
  t.throws(() => new SendMail('x').setTries(0), { code: 'ERR_SLUICE_INVALID_ARG' })
  t.throws(() => new SendMail('x').delay(-1), { code: 'ERR_SLUICE_INVALID_ARG' })
})

test.serial('a field that cannot be cloned throws where the task is delivered', (t) => {
  thread(t)
  class WithFunction extends Task {
    readonly run = (): void => {}
    handle(): void {}
  }
  t.like(t.throws(() => Task.deliver(new WithFunction()), { code: 'ERR_SLUICE_TASK_PAYLOAD' }), { path: 'input.run' })
})

test.serial('what handle leaves in the fields travels only where there is a finish for it', async (t) => {
  const tasks = thread(t)
  class Connects extends Task<string> {
    socket: unknown
    handle(): string {
      this.socket = () => {}
      return 'done'
    }
  }
  class Finishes extends Connects {
    override finish(): void {}
  }
  const handle = Task.deliver(new Connects())
  tasks.run()
  while (tasks.ended.length < 1) await undefined
  tasks.result(tasks.last.id, tasks.ended[0]!.outcome, tasks.ended[0]!.bytes)
  t.is(await handle, 'done')
  Task.deliver(new Finishes())
  tasks.run()
  while (tasks.ended.length < 2) await undefined
  t.like(tasks.reports[0], { code: 'ERR_SLUICE_TASK_PAYLOAD', path: 'result.fields.socket' })
})

test.serial('a static id is the name, and a subclass has its own', (t) => {
  const tasks = thread(t)
  class Named extends Task {
    static override readonly id = 'other name'
    handle(): void {}
  }
  class Child extends Named {}
  Task.deliver(new Named())
  t.is(tasks.last.name, 'other name')
  Task.deliver(new Child())
  t.is(tasks.last.name, 'Child')
  const { Named: Same } = { Named: class extends Task { static override readonly id = 'other name'; handle(): void {} } }
  t.throws(() => Task.deliver(new Same()), { code: 'ERR_SLUICE_INVALID_ARG', message: 'There is a task "other name" already' })
  t.throws(() => Task.deliver(new (class extends Task { handle(): void {} })()), { code: 'ERR_SLUICE_INVALID_ARG' })
  t.throws(() => Task.deliver({} as Task), { code: 'ERR_SLUICE_INVALID_ARG' })
})

test.serial('in a worker thread a class must be known beforehand: exported or registered', (t) => {
  const tasks = thread(t, { classes: 'require' })
  class Exported extends Task {
    handle(): void {}
  }
  class Registered extends Task {
    static {
      this.register()
    }
    handle(): void {}
  }
  t.throws(() => Task.deliver(new Exported()), { code: 'ERR_SLUICE_TASK_UNKNOWN', message: /"Exported": export it from the app's module or from one of `tasks.files`/ })
  registerExports({ Exported, other: 1, fn() {}, default: { nothing: null } })
  registerExports({ Exported })
  Task.deliver(new Exported())
  Task.deliver(new Registered())
  t.deepEqual(tasks.submitted.map(({ name }) => name), ['Exported', 'Registered'])
})

test.serial('the master delivers what it does not know itself', (t) => {
  const tasks = thread(t, { classes: 'ignore', worker: -1 })
  class OfTheApp extends Task {
    handle(): void {}
  }
  Task.deliver(new OfTheApp())
  t.is(tasks.last.name, 'OfTheApp')
  // Of another class with this name it says nothing: which of them the workers have they know.
  const { Other } = { Other: class OfTheApp extends Task { handle(): void {} } }
  t.notThrows(() => Task.deliver(new Other()))
})

test.serial('a process that delivers a class runs its finish', async (t) => {
  const tasks = thread(t, { classes: 'ignore' })
  log.length = 0
  class OfAProcess extends SendMail {}
  Task.deliver(new OfAProcess('eve'))
  tasks.run()
  while (tasks.ended.length === 0) await undefined
  tasks.run(tasks.last, { mode: 1, extra: tasks.ended[0]!.bytes })
  t.deepEqual(log, ['constructor', ['finish', true, 'to eve', 1]])
})
