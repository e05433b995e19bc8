/**
 * The entry of a custom process that is a Node.js process of its own. What it has of its server are two lines to the master, one for messages and one for
 * calls that are answered at once; it ends with them.
 */
import { RecordKind, TaskNewsWord } from '../../bridge/record.ts'
import { end as endWaiting } from '../../ending.ts'
import { sluiceError } from '../../errors.ts'
import { native, replaceNative } from '../../native.ts'
import { TaskClient } from '../../tasks/client.ts'
import { enterClient } from '../../tasks/registry.ts'
import type { WorkerInfo } from '../api.ts'
import { within, systemClock } from '../clock.ts'
import { toRecord } from '../error-record.ts'
import { Lifecycle } from '../lifecycle.ts'
import { loadFunctions } from '../load-app.ts'
import { MasterLink } from '../master-link.ts'
import type { LeaveReason } from '../messages.ts'
import { enter } from '../running.ts'
import { tellErrors } from '../tell-errors.ts'
import type { ChildBoot } from './child-boot.ts'
import { ChildLine } from './child-line.ts'
import { attachTables, ChildServer } from './child-server.ts'
import { remoteNative, takeRemoteMail } from './remote-native.ts'
import { loadProcess, RunningProcess } from './run-process.ts'
import { checkMemory } from './shared-memory.ts'
import { SyncCalls } from './sync-calls.ts'
import { laneOf } from './task-relay.ts'

/** What is left at the end of the time for what waits and for the last hook, in milliseconds. */
const GRACE_MS = 250

const line = new ChildLine(() => {
  // Its master is gone, however that ended.
  process.exit(1)
})
const calls = new SyncCalls()
replaceNative(remoteNative(calls))
const link = new MasterLink(line)
const leaving = new AbortController()
let child: { readonly boot: ChildBoot; readonly lifecycle: Lifecycle; readonly tasks: TaskClient; readonly worker: WorkerInfo } | undefined
let custom: RunningProcess | undefined
let isStarted = false
let exitHooks: Promise<void> | undefined

link.open((message) => {
  switch (message.type) {
    case 'boot':
      if (child !== undefined) return
      // Written by `child-runner.ts` of this very version, the only code that starts this entry.
      start(message.boot as ChildBoot).catch((error: unknown) => {
        link.tell({ type: 'start-failed', error: toRecord(error) })
        void end(1)
      })
      break
    case 'drain':
      leave(message.reason)
      break
    case 'stop':
      void stop(message.timeout)
      break
    case 'ask':
      custom?.answer(message)
      break
    case 'message':
      void child?.lifecycle.tell('message', message.from, message.data)
      break
    case 'mail':
      takeRemoteMail(message.ticket, message.isAtomic, message.value)
      break
    case 'task': {
      const { lane, at } = laneOf(message.record)
      if ((lane.words[at + TaskNewsWord.KIND]! & 0xff) === RecordKind.TASK_PROGRESS) child?.tasks.progress(lane, at)
      else child?.tasks.result(lane, at)
      break
    }
  }
})

async function start(boot: ChildBoot): Promise<void> {
  // For `ps`. Not the server's alone, which `pidof` finds to send it signals.
  process.title = `${boot.serverName}: process ${boot.name}`
  checkMemory(boot.ownTables, () => calls.call('atomicMark', []))
  const lifecycle = new Lifecycle(boot.id)
  const worker: WorkerInfo = {
    id: boot.id,
    kind: 'process',
    name: boot.name,
    version: boot.version,
    threadId: 0,
    get status() {
      if (leaving.signal.aborted) return 'exiting'
      return isStarted ? 'busy' : 'starting'
    },
  }
  const tasks = new TaskClient({
    native,
    server: () => 0,
    ...boot.tasks,
    report: (error) => lifecycle.report(error, 'task'),
    // A process imports what it likes.
    classes: 'ignore',
  })
  // Which attachment is the master's business.
  tasks.attach(0)
  child = { boot, lifecycle, tasks, worker }
  tellErrors(link, lifecycle)
  const server = new ChildServer(boot, worker, await attachTables(boot), { calls, link, lifecycle, signal: leaving.signal })
  enter(server)
  enterClient(tasks)
  const functions = await loadFunctions(boot)
  if (functions) lifecycle.configure(functions.lifecycle, ['workerStart', 'workerExit', 'workerStop', 'message'])
  await lifecycle.run('workerStart', { ...worker, status: 'starting', reason: 'start' })
  const code = await loadProcess(boot, () => Promise.resolve(functions?.processes))
  if (leaving.signal.aborted) return
  custom = new RunningProcess({
    boot,
    code,
    server,
    asker: link,
    tell: (message) => link.tell(message),
    report: (error) => lifecycle.report(error, 'process'),
  })
  isStarted = true
  link.tell({ type: 'ready' })
  custom.start().then(
    () => end(0),
    (error: unknown) => {
      link.tell({ type: 'fatal', reason: 'throw', error: toRecord(error) })
      return end(1)
    },
  )
}

function leave(reason: LeaveReason): void {
  if (leaving.signal.aborted || child === undefined) return
  const { boot, lifecycle, worker } = child
  leaving.abort(sluiceError('ERR_SLUICE_SHUTTING_DOWN', `The process "${boot.name}" is leaving (${reason})`))
  exitHooks = lifecycle.tell('workerExit', worker, leaving.signal)
  custom?.leave(reason === 'reload' ? 'reload' : 'stop')
}

/** Finishes what it does and ends the process, within `timeout` milliseconds. */
async function stop(timeout: number): Promise<void> {
  leave('shutdown')
  const settled = Promise.all([exitHooks, custom?.settled()])
  if (!(await within(systemClock, Math.max(0, timeout - 2 * GRACE_MS), settled))) {
    custom?.late(timeout)
    endWaiting(leaving.signal.reason)
    await within(systemClock, GRACE_MS, settled)
  }
  if (child) await within(systemClock, GRACE_MS, child.lifecycle.tell('workerStop', child.worker))
  link.tell({ type: 'stopped' })
  await end(0)
}

/** Ends the process when everything before has been sent. */
async function end(code: number): Promise<void> {
  await line.flushed()
  process.exit(code)
}
