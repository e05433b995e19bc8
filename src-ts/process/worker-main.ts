/**
 * The entry of a worker thread. Loads the application, attaches to the core, and from then on only reacts: to records from
 * the core, and to the master's messages, until it is told to stop.
 */
import { threadId, workerData } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'

import { resolveApp, startRuntime, type WorkerRuntime } from '../app.ts'
import { sluiceError } from '../errors.ts'
import { end } from '../ending.ts'
import { installGlobals } from '../http/globals.ts'
import { native } from '../native.ts'
import { handledPorts } from '../port-handlers.ts'
import type { WorkerInfo } from './api.ts'
import { Board } from './board.ts'
import { systemClock, within } from './clock.ts'
import { countCalls } from './count-calls.ts'
import type { ProcessBoot } from './custom/child-boot.ts'
import type { RunningProcess } from './custom/run-process.ts'
import { toRecord } from './error-record.ts'
import { Lifecycle } from './lifecycle.ts'
import { loadApp, loadFunctions, requestFunctions, type WorkerFunctions } from './load-app.ts'
import { MasterLink } from './master-link.ts'
import type { Boot, LeaveReason } from './messages.ts'
import { workerTitle } from './place.ts'
import { enter } from './running.ts'
import { TaskClient } from '../tasks/client.ts'
import { registerExports } from '../tasks/register-exports.ts'
import { CRON_PREFIX } from '../tasks/name.ts'
import { addTask, enterClient } from '../tasks/registry.ts'
import { tellErrors } from './tell-errors.ts'
import { keepVitals } from './vitals.ts'
import { WorkerServer } from './worker-server.ts'

/** What handlers that overstayed get after their signal was aborted, in milliseconds, before the core takes their requests away. */
const ABORT_GRACE_MS = 250

/** What a thread that has to go before it is ready gets to load what it is loading, in milliseconds. */
const LOAD_GRACE_MS = 1_000

// Written by `worker-handle.ts` of this very version, the only code that starts this entry.
const { boot, port } = workerData as { boot: Boot; port: MessagePort }
const link = new MasterLink(port)
const lifecycle = new Lifecycle(boot.id)
const leaving = new AbortController()
let runtime: WorkerRuntime | undefined
let exitHooks: Promise<void> | undefined
let custom: RunningProcess | undefined

const worker: WorkerInfo = {
  id: boot.id,
  kind: boot.kind,
  name: boot.name,
  version: boot.version,
  threadId,
  get status() {
    if (leaving.signal.aborted) return 'exiting'
    if (runtime === undefined) return 'starting'
    return runtime.inflight() > 0 ? 'busy' : 'idle'
  },
}

// Before the application is imported: what it captures at its top level must be ours already.
installGlobals()
native.nameThread(boot.name)
if (boot.cpu !== undefined) native.pinThread(boot.cpu)

tellErrors(link, lifecycle)

link.open((message) => {
  switch (message.type) {
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
      void lifecycle.tell('message', message.from, message.data)
      break
  }
})

const server = new WorkerServer(boot, worker, link, lifecycle, leaving.signal)
enter(server)
const tasks = new TaskClient({
  native,
  server: () => boot.server,
  queues: boot.tasks.queues,
  isDurable: boot.tasks.isDurable,
  report: (error) => lifecycle.report(error, 'task'),
  // A process imports what it likes.
  classes: boot.process === undefined ? 'require' : 'ignore',
})
enterClient(tasks)
const board = new Board(boot.board)
keepVitals(board, boot.slot)
const starting = start().catch((error: unknown) => {
  link.tell({ type: 'start-failed', error: toRecord(error) })
  process.exit(1)
})

async function start(): Promise<void> {
  const functions = await loadFunctions(boot)
  if (functions) lifecycle.configure(functions.lifecycle, ['workerStart', 'workerExit', 'workerStop', 'message'])
  // Task workers import the app for the tasks that it defines.
  const app = boot.process === undefined ? await loadApp(boot) : undefined
  if (app !== undefined) registerExports(app)
  if (app !== undefined && boot.tasks.files.length > 0) await (await import('../tasks/files.ts')).importTaskFiles(boot.tasks.files, boot.root)
  // Imported only here: the other workers do without it.
  const cron = boot.kind === 'cron' ? await import('../cron/load.ts') : undefined
  const jobs = await cron?.loadJobs(functions?.cron?.jobs ?? [], boot.cronFiles, boot.root)
  const handled = boot.kind === 'worker' ? handledPorts(resolveApp(app), boot.ports) : []
  await lifecycle.run('workerStart', { ...worker, status: 'starting', reason: boot.reason })
  runtime = startRuntime({
    native: countCalls(native, board, boot.slot),
    server: boot.server,
    slot: boot.slot,
    ports: boot.ports,
    handled,
    codings: boot.codings,
    decodes: boot.decodes,
    formFields: boot.formFields,
    worker,
    tasks,
    root: boot.root,
    ...(functions && requestFunctions(functions)),
    report: (error, phase, _request, task) => {
      if (task?.startsWith(CRON_PREFIX)) lifecycle.report(error, 'cron', { task: task.slice(CRON_PREFIX.length) })
      else lifecycle.report(error, phase, { task })
    },
  })
  server.attached(runtime)
  if (cron && jobs) {
    cron.runJobs(jobs, { native, server: boot.server, worker: runtime.worker, revives: boot.reason === 'reload', define: (name, run) => addTask(name, { source: run, run, finish: undefined, failed: undefined }) })
  }
  if (boot.process) await startProcess(boot.process, functions)
  else link.tell({ type: 'ready' })
}

/** Runs a custom process: the thread ends with it. */
async function startProcess(process: ProcessBoot, functions: WorkerFunctions | undefined): Promise<void> {
  const { loadProcess, RunningProcess } = await import('./custom/run-process.ts')
  const code = await loadProcess(process, () => Promise.resolve(functions?.processes))
  if (leaving.signal.aborted) return
  custom = new RunningProcess({
    boot: process,
    code,
    server,
    asker: link,
    tell: (message) => link.tell(message),
    report: (error) => lifecycle.report(error, 'process'),
  })
  link.tell({ type: 'ready' })
  custom.start().then(
    () => globalThis.process.exit(0),
    (error: unknown) => {
      link.tell({ type: 'fatal', reason: 'throw', error: toRecord(error) })
      globalThis.process.exit(1)
    },
  )
}

/** Tells the application, once, that it gets nothing new. A shutdown tells again when the last connection is done. */
function leave(reason: LeaveReason): void {
  if (leaving.signal.aborted) return
  leaving.abort(sluiceError('ERR_SLUICE_SHUTTING_DOWN', `${workerTitle(boot)} is leaving (${reason})`))
  exitHooks = lifecycle.tell('workerExit', worker, leaving.signal)
  custom?.leave(reason === 'reload' ? 'reload' : 'stop')
}

/** Finishes what is in hand and ends the thread, within `timeout` milliseconds. */
async function stop(timeout: number): Promise<void> {
  const deadline = performance.now() + timeout
  leave('shutdown')
  // A file that is being read when its thread ends is never closed.
  await within(systemClock, Math.min(timeout, LOAD_GRACE_MS), starting)
  const settled = Promise.all([exitHooks, runtime?.settled(), custom?.settled()])
  if (!(await within(systemClock, timeout - ABORT_GRACE_MS, settled))) {
    custom?.late(timeout)
    runtime?.abort(leaving.signal.reason)
    end(leaving.signal.reason)
    await within(systemClock, ABORT_GRACE_MS, settled)
  }
  await within(systemClock, Math.max(ABORT_GRACE_MS, deadline - performance.now()), lifecycle.tell('workerStop', worker))
  runtime?.detach()
  link.tell({ type: 'stopped' })
  // Timers and sockets that the application left behind do not keep the thread.
  process.exit(0)
}
