import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

import { sluiceError, sluiceTypeError } from '../../errors.ts'
import { systemClock, type Clock } from '../clock.ts'
import { Deferred } from '../deferred.ts'
import { fromRecord } from '../error-record.ts'
import type { Generation } from '../generation.ts'
import { cloneMessage, type WorkerMessage } from '../messages.ts'
import type { ProcessCall } from './calls.ts'
import type { ProcessBoot } from './child-boot.ts'
import type { Asker, ProcessName } from './handle.ts'
import { ProcessInstance } from './instance.ts'
import { Mailbox } from './mailbox.ts'
import type { Runner } from './runner.ts'
import type { ProcessErrorEvent, ProcessInfo, ResolvedProcess } from './spec.ts'

/** Messages that wait in one direction of a pipe. */
const PIPE_MAX = 8_192
/** Requests to one process that are not answered. */
const REQUESTS_MAX = 1_024

/** Who calls: its calls end with it. */
export interface ProcessCaller {
  isAlive(): boolean
}

/** How a run of a process is begun. */
export interface Birth {
  readonly id: number
  /** Among those that are threads. */
  readonly index: number
  readonly spec: ResolvedProcess
  readonly boot: ProcessBoot
  readonly generation: Generation
  /** Messages of its code that are not for supervision. */
  readonly receive: (message: WorkerMessage) => void
  /** Takes redirected output. */
  readonly redirect: (chunk: Buffer, resume: () => void) => boolean
}

export interface ProcessesOptions {
  readonly specs: Readonly<Record<string, ResolvedProcess>>
  /** The first number after those of the workers. */
  readonly firstId: number
  readonly maxWaitTime: number
  readonly clock?: Clock
  readonly spawn: (birth: Birth) => Runner
  /** Messages of a process's code to others. */
  readonly receive: (message: WorkerMessage, from: Unit) => void
  readonly events: {
    started(info: ProcessInfo): void
    stopped(info: ProcessInfo): void
    failed(event: ProcessErrorEvent): void
  }
}

/** One instance with what is on its way to and from it. */
export interface Unit extends ProcessCaller {
  readonly id: number
  readonly key: string
  readonly spec: ResolvedProcess
  readonly instance: ProcessInstance
  readonly inbox: Mailbox
  readonly outbox: Mailbox
  /** To its code, if it runs. */
  post(message: Parameters<Runner['post']>[0]): void
}

interface OpenRequest {
  readonly unit: Unit
  readonly answer: Deferred<unknown>
}

/** The custom processes of a server, in its master. */
export class Processes implements Asker, ProcessCaller {
  readonly names: readonly ProcessName[]
  readonly #options: ProcessesOptions
  readonly #units: readonly Unit[]
  /** By process, or by instance where each has its own. */
  readonly #queues = new Map<string, Mailbox>()
  readonly #requests = new Map<number, OpenRequest>()
  readonly #counts = new Map<Unit, number>()
  readonly #readings = new WeakMap<ProcessCaller, Map<number, () => void>>()
  #generation: Generation | undefined
  #isFrozen = false
  #lastRequest = 0
  #lastCall = 0

  constructor(options: ProcessesOptions) {
    this.#options = options
    const units: Unit[] = []
    let threads = 0
    for (const [key, spec] of Object.entries(options.specs)) {
      for (let index = 0; index < spec.instances; index += 1) {
        const name = spec.instances === 1 ? key : `${key}${index}`
        const queue = queueName(key, name, spec)
        if (!this.#queues.has(queue)) this.#queues.set(queue, new Mailbox(spec.queue.capacity))
        units.push(this.#unit(key, name, index, spec, options.firstId + units.length, spec.kind === 'thread' ? threads++ : 0))
      }
    }
    this.#units = units
    this.names = units.map(({ instance, spec }) => ({ name: instance.name, pipe: spec.pipe }))
    const twice = units.map(({ instance }) => instance.name).find((name, at, names) => names.indexOf(name) !== at)
    if (twice !== undefined) throw sluiceTypeError('ERR_SLUICE_INVALID_OPTION', `processes: two of them are named "${twice}"`)
  }

  get infos(): readonly ProcessInfo[] {
    return this.#units.map(({ instance }) => instance.info)
  }

  get units(): readonly Unit[] {
    return this.#units
  }

  /** How many are threads. */
  get threads(): number {
    return this.#units.filter(({ spec }) => spec.kind === 'thread').length
  }

  /** @throws ERR_SLUICE_WORKER_START for a module that is not there */
  check(generation: Generation): void {
    for (const { spec } of this.#units) {
      const file = fileOf(spec, generation)
      if (file !== undefined && !existsSync(fileURLToPath(file))) throw sluiceError('ERR_SLUICE_WORKER_START', `The module ${fileURLToPath(file)} of a process cannot be found`)
    }
  }

  /** Starts all that are enabled; none is waited for. */
  start(generation: Generation): void {
    this.#generation = generation
    for (const { instance, spec } of this.#units) if (spec.enable) instance.start()
  }

  /** Each ends and is started again with new code, also one that failed too often with the old. Settles when the last has been started. */
  async reload(generation: Generation): Promise<void> {
    this.#generation = generation
    await Promise.all(this.#units.flatMap(({ instance }) => (instance.isOver && !instance.hasFailed ? [] : [instance.again('reload')])))
  }

  /** Nothing is started any more. */
  freeze(): void {
    this.#isFrozen = true
    for (const { instance } of this.#units) instance.freeze()
  }

  /** Ends all. Each gets `timeout` milliseconds; `hurry` cuts that short. */
  async stop(timeout: number, hurry: AbortSignal): Promise<void> {
    await Promise.all(this.#units.map(({ instance }) => instance.stop(timeout, hurry)))
    for (const { inbox, outbox } of this.#units) {
      inbox.close()
      outbox.close()
    }
    for (const queue of this.#queues.values()) queue.close()
  }

  /** The master's own calls. */
  async ask(call: ProcessCall, signal?: AbortSignal): Promise<unknown> {
    this.#lastCall += 1
    const id = this.#lastCall
    const forget = (): void => void this.call({ op: 'forget', call: id }, this, -1)
    signal?.addEventListener('abort', forget, { once: true })
    try {
      // As between threads: nothing is shared.
      const value = await this.call('data' in call ? { ...call, data: cloneMessage(call.data, []) } : call, this, id)
      if (signal?.aborted && value === undefined) throw signal.reason
      return value
    } finally {
      signal?.removeEventListener('abort', forget)
    }
  }

  isAlive(): boolean {
    return true
  }

  /** What a thread or a process asks. `id` names the call for `forget`. */
  async call(call: ProcessCall, caller: ProcessCaller, id: number): Promise<unknown> {
    switch (call.op) {
      case 'write':
        return this.#write(this.#named(call.name), call.data, call.waits ? caller : undefined)
      case 'end': {
        const { instance, spec } = this.#named(call.name)
        if (spec.kind === 'command') instance.runner?.endInput?.()
        return undefined
      }
      case 'read': {
        const { outbox, spec } = this.#named(call.name)
        if (spec.kind !== 'command') checkPipe(call.name, spec)
        if (spec.kind === 'command' && !spec.redirect) {
          throw sluiceError('ERR_SLUICE_INVALID_STATE', `What the command "${call.name}" writes goes to the log; with \`redirect: true\` it can be read`)
        }
        return this.#read(outbox, caller, id)
      }
      case 'request':
        return this.#request(this.#named(call.name), call.data, call.timeout)
      case 'push':
        return this.#queueOf(call.name).offer(call.data)
      case 'pop':
        return this.#read(this.#queueOf(call.name), caller, id)
      case 'length':
        return this.#queueOf(call.name).length
      case 'restart':
        if (this.#isFrozen) throw sluiceError('ERR_SLUICE_SHUTTING_DOWN', 'The server is stopping')
        await this.#named(call.name).instance.again('stop')
        return undefined
      case 'infos':
        return this.infos
      case 'give':
        return this.#give(this.#unitOf(caller), call.data, call.waits)
      case 'take': {
        const { inbox, instance, spec } = this.#unitOf(caller)
        checkPipe(instance.name, spec)
        return this.#read(inbox, caller, id)
      }
      case 'forget':
        this.#readings.get(caller)?.get(call.call)?.()
        return undefined
    }
  }

  #unit(key: string, name: string, index: number, spec: ResolvedProcess, id: number, thread: number): Unit {
    const { clock = systemClock, events, maxWaitTime, spawn } = this.#options
    const isStream = spec.pipe === 'stream'
    // What a command writes is bytes.
    const outbox = new Mailbox(PIPE_MAX, isStream || spec.kind === 'command')
    const instance = new ProcessInstance({
      name,
      kind: spec.kind,
      id,
      enable: spec.enable,
      restartInterval: spec.restartInterval,
      maxRestarts: spec.maxRestarts,
      stuckAfter: spec.stuckAfter,
      clock,
      maxWaitTime,
      spawn: () =>
        spawn({
          id,
          index: thread,
          spec,
          boot: { key, name, index, pipe: spec.pipe, file: fileOf(spec, this.#generation as Generation), names: this.names },
          generation: this.#generation as Generation,
          receive: (message) => this.#receive(message, unit),
          redirect: (chunk, resume) => {
            outbox.offer(new Uint8Array(chunk))
            if (!outbox.isHigh) return true
            outbox.whenLow(resume)
            return false
          },
        }),
      events: {
        ...events,
        over: () => unit.inbox.refuseWriters(),
        gone: () => {
          this.#readings.delete(unit)
          for (const [request, { answer, unit: asked }] of this.#requests) {
            if (asked !== unit) continue
            this.#requests.delete(request)
            answer.reject(sluiceError('ERR_SLUICE_PROCESS_GONE', `The process "${name}" ended before it had answered`))
          }
        },
      },
    })
    const unit: Unit = {
      id,
      key,
      spec,
      instance,
      inbox: new Mailbox(PIPE_MAX, isStream),
      outbox,
      isAlive: () => instance.runner !== undefined,
      post: (message) => instance.runner?.post(message),
    }
    return unit
  }

  #receive(message: WorkerMessage, unit: Unit): void {
    if (message.type !== 'answer') {
      this.#options.receive(message, unit)
      return
    }
    const request = this.#requests.get(message.id)
    if (request?.unit !== unit) return
    this.#requests.delete(message.id)
    if (message.error) request.answer.reject(fromRecord(message.error))
    else request.answer.resolve(message.value)
  }

  #named(name: string): Unit {
    const unit = this.#units.find(({ instance }) => instance.name === name)
    if (unit === undefined) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `There is no process ${JSON.stringify(name)}`)
    return unit
  }

  #queueOf(name: string): Mailbox {
    const { instance, key, spec } = this.#named(name)
    return this.#queues.get(queueName(key, instance.name, spec))!
  }

  #unitOf(caller: ProcessCaller): Unit {
    const unit = this.#units.find((one) => one === caller)
    if (unit === undefined) throw sluiceError('ERR_SLUICE_INVALID_STATE', 'Only a process has this end of its pipe')
    return unit
  }

  /** `waiter`: who waits for room, as long as it lives. */
  async #write(unit: Unit, data: unknown, waiter: ProcessCaller | undefined): Promise<void> {
    const { inbox, instance, spec } = unit
    const { name } = instance
    checkPipe(name, spec)
    if (instance.isOver) throw gone(name)
    const message = spec.pipe === 'stream' ? bytesFor(name, data) : data
    if (spec.kind === 'command') {
      if (!instance.isRunning) throw gone(name)
      if (instance.runner?.input?.(message as Uint8Array)) return
      if (instance.runner?.isInputOpen?.() !== true) throw sluiceError('ERR_SLUICE_PROCESS_GONE', `The command "${name}" has closed its input`)
      if (waiter === undefined) throw sluiceError('ERR_SLUICE_PROCESS_FULL', `The command "${name}" does not read its input`)
      if (!(await roomForInput(instance, message as Uint8Array))) throw gone(name)
      return
    }
    if (waiter === undefined) {
      if (!inbox.offer(message)) throw full(`The process "${name}" does not read what is written to it`, PIPE_MAX)
    } else if (!(await room(inbox, message, () => waiter.isAlive()))) throw gone(name)
  }

  async #give(unit: Unit, data: unknown, waits: boolean): Promise<void> {
    const { instance, outbox, spec } = unit
    checkPipe(instance.name, spec)
    const message = spec.pipe === 'stream' ? bytesFor(instance.name, data) : data
    if (waits) {
      const { runner } = instance
      if (!(await room(outbox, message, () => instance.runner === runner))) throw sluiceError('ERR_SLUICE_SHUTTING_DOWN', 'The server is stopping')
    } else if (!outbox.offer(message)) throw full('Nobody reads what the process writes', PIPE_MAX)
  }

  /** The next message in a list, an empty one when none comes any more, undefined when the caller does not wait for it any longer. */
  #read(mailbox: Mailbox, caller: ProcessCaller, id: number): Promise<readonly unknown[] | undefined> {
    const readings = this.#readings.get(caller) ?? new Map<number, () => void>()
    this.#readings.set(caller, readings)
    return new Promise((resolve) => {
      let isWaiting = true
      const settle = (messages: readonly unknown[] | undefined): void => {
        isWaiting = false
        readings.delete(id)
        resolve(messages)
      }
      readings.set(id, () => settle(undefined))
      // A process that was started again is not the one that asked.
      const run = isUnit(caller) ? caller.instance.runner : undefined
      mailbox.read({ isWaiting: () => isWaiting && caller.isAlive() && (!isUnit(caller) || caller.instance.runner === run), take: settle })
    })
  }

  async #request(unit: Unit, data: unknown, timeout: number): Promise<unknown> {
    const { instance, spec } = unit
    const { name } = instance
    if (spec.kind === 'command') throw sluiceError('ERR_SLUICE_INVALID_STATE', `The command "${name}" cannot answer requests`)
    if (instance.isOver) throw gone(name)
    const open = this.#counts.get(unit) ?? 0
    if (open >= REQUESTS_MAX) throw full(`Requests to the process "${name}" are not answered`, REQUESTS_MAX)
    this.#counts.set(unit, open + 1)
    const { clock = systemClock } = this.#options
    const answer = new Deferred<unknown>()
    this.#lastRequest += 1
    const id = this.#lastRequest
    const cancel = clock.after(timeout, () => answer.reject(sluiceError('ERR_SLUICE_PROCESS_TIMEOUT', `The process "${name}" did not answer within ${timeout} ms`)))
    try {
      // It may be asked to go again before this has its turn.
      while (!instance.isRunning) await Promise.race([instance.running, answer.promise])
      this.#requests.set(id, { unit, answer })
      unit.post({ type: 'ask', id, data })
      return await answer.promise
    } finally {
      cancel()
      this.#requests.delete(id)
      this.#counts.set(unit, this.#counts.get(unit)! - 1)
    }
  }
}

function isUnit(caller: ProcessCaller): caller is Unit {
  return 'instance' in caller
}

/** File URL of the module; undefined for other processes. */
function fileOf({ file }: ResolvedProcess, { root }: Generation): string | undefined {
  if (file === undefined || file.startsWith('file:')) return file
  return pathToFileURL(resolve(root, file)).href
}

/** Settles when it is kept; false when it will not be. */
function room(mailbox: Mailbox, message: unknown, isWaiting: () => boolean): Promise<boolean> {
  return new Promise((done) => mailbox.write({ message, isWaiting, done }))
}

/** Settles when a command has it among its input; false when it has none any more. */
async function roomForInput(instance: ProcessInstance, data: Uint8Array): Promise<boolean> {
  const { runner } = instance
  for (;;) {
    await runner?.inputRead?.()
    if (instance.runner !== runner || runner?.isInputOpen?.() !== true) return false
    if (runner.input?.(data)) return true
  }
}

/** Of whom a process has its queue. */
function queueName(key: string, name: string, { queue }: ResolvedProcess): string {
  return queue.mode === 'orient' ? name : key
}

/** @throws ERR_SLUICE_INVALID_STATE for one without */
function checkPipe(name: string, { pipe }: ResolvedProcess): void {
  if (pipe === 'none') throw sluiceError('ERR_SLUICE_INVALID_STATE', `The process ${JSON.stringify(name)} has no pipe: \`pipe: 'none'\``)
}

/** @throws ERR_SLUICE_INVALID_ARG for what is neither text nor bytes */
function bytesFor(name: string, data: unknown): Uint8Array {
  if (typeof data === 'string') return new TextEncoder().encode(data)
  if (data instanceof ArrayBuffer) return new Uint8Array(data)
  if (data instanceof Uint8Array) return data
  throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `What is written to the stream of ${JSON.stringify(name)} must be a text or bytes, got ${data === null ? 'null' : typeof data}`)
}

function gone(name: string): Error {
  return sluiceError('ERR_SLUICE_PROCESS_GONE', `The process "${name}" does not run any more`)
}

function full(what: string, count: number): Error {
  return sluiceError('ERR_SLUICE_PROCESS_FULL', `${what}: ${count} wait already`)
}
