import type { ResolvedConfig } from '../../options.ts'
import { systemClock } from '../clock.ts'
import { roleOf, threadName, type Place } from '../place.ts'
import type { MasterMessage, PortRecord } from '../messages.ts'
import type { ThreadHandle, ThreadOptions } from '../worker-handle.ts'
import type { ChildCalls } from './child-calls.ts'
import { ChildRunner } from './child-runner.ts'
import { CommandRunner } from './command-runner.ts'
import type { OutputTaker } from './output.ts'
import type { Birth } from './processes.ts'
import type { Runner } from './runner.ts'
import { ThreadRunner } from './thread-runner.ts'

// For the master, which imports nothing of processes before there are any.
export { ChildCalls } from './child-calls.ts'
export { TaskRelay } from './task-relay.ts'

/** What the master gives to every run beside what it is. */
export interface Surroundings {
  readonly config: ResolvedConfig
  readonly serverName: string
  readonly ports: readonly PortRecord[]
  /** Of tasks, what those who deliver have to know. */
  readonly tasks: { readonly queues: readonly string[]; readonly isDurable: boolean }
  /** Tables that the program had before it started the server. */
  readonly ownTables: readonly string[]
  /** Answers the calls of a process of its own. */
  readonly calls: (post: (message: MasterMessage) => void) => ChildCalls
  readonly threadOptions: (place: Place) => Omit<ThreadOptions, 'receive'>
  readonly enter: (thread: ThreadHandle) => void
  /** The thread is ready. */
  readonly activate: (thread: ThreadHandle) => void
  readonly output: OutputTaker
}

/** Begins a run of a process. Imported by servers that have any: it needs more of Node than others load. @throws when no thread or process is to be had */
export function bear({ activate, boot, calls, config, enter, generation, id, index, output, ownTables, ports, receive, redirect, serverName, spec, tasks, threadOptions }: Birth & Surroundings): Runner {
  const { env, namedStateDir, reload, source, tables } = config
  const environment: NodeJS.ProcessEnv = {
    ...process.env,
    ...(generation.version !== undefined && { X_VERSION: generation.version }),
    ...(namedStateDir !== undefined && { SLUICE_STATE_DIR: namedStateDir }),
  }
  switch (spec.kind) {
    case 'command':
      return new CommandRunner({ name: boot.name, command: spec.command ?? [], cwd: generation.root, env: environment, output, hasInput: spec.pipe !== 'none', redirect: spec.redirect ? redirect : undefined })
    case 'process':
      return new ChildRunner({
        entry: new URL('./child-main.js', import.meta.url),
        boot: { ...boot, id, serverName, configFile: source, env, ownTables, ports, tasks, version: generation.version, tables, stateDir: namedStateDir },
        env: environment,
        startTimeout: reload.startTimeout,
        clock: systemClock,
        output,
        receive,
        calls,
      })
    case 'thread': {
      const place: Place = { id, kind: 'process', role: roleOf('process'), index, name: threadName('process', index), recycle: {} }
      const options = threadOptions(place)
      const runner = new ThreadRunner({ ...options, boot: { ...options.boot, process: boot }, receive }, activate)
      enter(runner.thread)
      return runner
    }
  }
}
