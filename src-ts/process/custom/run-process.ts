import { fileURLToPath } from 'node:url'

import { importModule } from '../../config/import-module.ts'
import { sluiceError, sluiceTypeError } from '../../errors.ts'
import type { Server } from '../api.ts'
import { toRecord } from '../error-record.ts'
import { notCloneable, type WorkerMessage } from '../messages.ts'
import type { ResolvedProcess, ProcessContext, ProcessLeave } from './spec.ts'
import type { ProcessBoot } from './child-boot.ts'
import { processQueue, type Asker } from './handle.ts'
import { pipe } from './pipe.ts'

/** The functions of a process. */
export interface ProcessCode {
  readonly run: (ctx: ProcessContext) => unknown
  readonly onReload: ((ctx: ProcessContext) => unknown) | undefined
  readonly onStop: ((ctx: ProcessContext) => unknown) | undefined
}

/** Imports them. `specs`: of the configuration file, for processes without a module of their own. */
export async function loadProcess({ file, key }: ProcessBoot, specs: () => Promise<Readonly<Record<string, ResolvedProcess>> | undefined>): Promise<ProcessCode> {
  if (file === undefined) return toCode((await specs())?.[key], `processes.${key}`)
  const module = await importModule(fileURLToPath(file))
  const { default: main, onReload, onStop } = module
  return typeof main === 'function' ? toCode({ run: main, onReload, onStop }, file) : toCode(main, file)
}

function toCode(value: unknown, where: string): ProcessCode {
  const { onReload, onStop, run } = (typeof value === 'object' && value !== null ? value : {}) as Record<keyof ProcessCode, unknown>
  if (typeof run !== 'function') throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `${where} must export a function as its default, or { run }`)
  for (const [name, hook] of Object.entries({ onReload, onStop })) {
    if (hook !== undefined && typeof hook !== 'function') throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `\`${name}\` of ${where} must be a function, got ${typeof hook}`)
  }
  return { run, onReload, onStop } as ProcessCode
}

/** Requests that wait for `ctx.onRequest()`. The master has no more than these open; older ones have timed out. */
const WAITING_MAX = 1_024

type Ask = { readonly id: number; readonly data: unknown }

/** The code of a process while it runs, in its thread. */
export class RunningProcess {
  readonly #code: ProcessCode
  readonly #context: ProcessContext
  readonly #leaving = new AbortController()
  readonly #tell: (message: Extract<WorkerMessage, { type: 'answer' }>) => void
  readonly #report: (error: unknown) => void
  #handler: ((data: unknown) => unknown) | undefined
  #waiting: Ask[] = []
  #run: Promise<void> = Promise.resolve()
  #hook: Promise<void> = Promise.resolve()
  #hasSettled = false

  constructor(options: {
    readonly boot: ProcessBoot
    readonly code: ProcessCode
    readonly server: Server
    readonly asker: Asker
    readonly tell: (message: Extract<WorkerMessage, { type: 'answer' }>) => void
    readonly report: (error: unknown) => void
  }) {
    const { asker, boot, code, report, server, tell } = options
    this.#code = code
    this.#tell = tell
    this.#report = report
    const { signal } = this.#leaving
    this.#context = {
      server,
      name: boot.name,
      index: boot.index,
      signal,
      pipe: pipe(
        boot.pipe,
        {
          write: (data, waits) => asker.ask({ op: 'give', data, waits }),
          take: (ended) => asker.ask({ op: 'take' }, ended),
          end: () => Promise.resolve(),
        },
        signal,
      ),
      queue: processQueue(boot.name, asker),
      onRequest: (handler) => {
        if (typeof handler !== 'function') throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `The handler of requests must be a function, got ${typeof handler}`)
        this.#handler = handler
        for (const ask of this.#waiting.splice(0)) this.answer(ask)
      },
    }
  }

  /** Resolves when it has come to its end by itself; rejects with what it threw. Stays pending when it was asked to go. */
  start(): Promise<void> {
    const run = (async () => void (await this.#code.run(this.#context)))()
    const { signal } = this.#leaving
    return new Promise((resolve, reject) => {
      this.#run = run.then(
        () => {
          if (!signal.aborted) resolve()
        },
        (error: unknown) => {
          if (!signal.aborted) reject(error)
          else if (!isAbort(error, signal)) this.#report(error)
        },
      )
    })
  }

  /** It has to go: its signal is aborted and its hook is called. Once. */
  leave(reason: ProcessLeave): void {
    if (this.#leaving.signal.aborted) return
    this.#leaving.abort(reason)
    const hook = reason === 'reload' ? this.#code.onReload : this.#code.onStop
    this.#hook = (async () => void (await hook?.(this.#context)))().catch(this.#report)
  }

  /** Settles when nothing of it runs any more. Never rejects. */
  async settled(): Promise<void> {
    await Promise.all([this.#run, this.#hook])
    this.#hasSettled = true
  }

  /** Its time is over. If it has not settled, it is told of, and ended. */
  late(timeout: number): void {
    if (this.#hasSettled) return
    this.#report(sluiceError('ERR_SLUICE_PROCESS_TIMEOUT', `The process "${this.#context.name}" did not come to its end in the ${timeout} ms that it had`))
  }

  /** Answers a request, when there is somebody to do so. */
  answer(ask: Ask): void {
    const handler = this.#handler
    if (handler === undefined) {
      this.#waiting.push(ask)
      if (this.#waiting.length > WAITING_MAX) this.#waiting.shift()
      return
    }
    const { data, id } = ask
    const refuse = (error: unknown): void => this.#tell({ type: 'answer', id, error: toRecord(error), value: undefined })
    void (async () => handler(data))()
      .then((value) => {
        try {
          this.#tell({ type: 'answer', id, error: undefined, value })
        } catch (cause) {
          refuse(notCloneable(cause))
        }
      })
      .catch(refuse)
  }
}

/** What waiting throws when its signal aborts: the reason itself, or an AbortError. */
function isAbort(error: unknown, { reason }: AbortSignal): boolean {
  return error === reason || (error instanceof Error && (error.name === 'AbortError' || error.cause === reason))
}
