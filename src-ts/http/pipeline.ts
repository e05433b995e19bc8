import type { App, RequestHooks } from '../app.ts'
import { afterOf, Context, type ContextHost, formOf, summaryOf } from '../context.ts'
import { leaveEntered, scope } from '../context-store.ts'
import { sluiceError, sluiceTypeError } from '../errors.ts'
import { isThenable } from '../thenable.ts'
import type { Sockets } from '../websocket/sockets.ts'
import { HandshakeGate } from '../websocket/upgrade.ts'
import type { Exchange } from './exchange.ts'
import { failureResponse } from './failure.ts'
import { fieldOf } from './head.ts'
import type { Phase, Report } from './report.ts'
import { SluiceRequest } from './request.ts'
import { isSluiceResponse } from './response.ts'
import { isResponse, send } from './send.ts'

interface PipelineOptions {
  readonly hooks?: RequestHooks | undefined
  readonly cleaners?: readonly ((ctx: Context) => unknown)[] | undefined
  readonly report: Report
}

/** A request in the pipeline. */
interface Turn {
  readonly exchange: Exchange
  readonly request: SluiceRequest
  readonly context: Context
  /** What runs now; an error is reported as of this phase. */
  phase: Phase
}

/**
 * The way from a request to its answer: requestReceived → fetch → responseGenerated → send → after → cleaners.
 *
 * Chosen once: an app without hooks has no trace of them, and answers synchronously if its handler does.
 */
export function createPipeline(app: App, host: ContextHost & { readonly sockets: Sockets }, options: PipelineOptions): (exchange: Exchange) => void {
  const { report } = options
  const cleaners = options.cleaners ?? []
  const received = hooksOf(options.hooks?.requestReceived?.bind(options.hooks), app.hooks?.requestReceived?.bind(app.hooks))
  const generated = hooksOf(app.hooks?.responseGenerated?.bind(app.hooks), options.hooks?.responseGenerated?.bind(options.hooks))
  const fetch = app.fetch === undefined ? absent : plain
  const gate = app.websocket === undefined ? undefined : new HandshakeGate(app.websocket, host.sockets, app.fetch !== undefined)
  const ask = gate === undefined ? fetch : gated
  const handle = received.length > 0 || generated.length > 0 ? (turn: Turn): unknown => hooked(turn) : ask

  function plain({ request, context }: Turn): unknown {
    return app.fetch!(request, context)
  }

  function gated(turn: Turn): unknown {
    return gate!.answer(turn.request, turn.exchange, turn.context, () => fetch(turn))
  }

  async function hooked(turn: Turn): Promise<unknown> {
    const { context } = turn
    let request: Request = turn.request
    let answer: unknown
    turn.phase = 'requestReceived'
    for (const hook of received) {
      const given = await hook(request, context)
      if (isResponse(given)) {
        answer = given
        break
      }
      if (given !== undefined) request = given
    }
    turn.phase = 'fetch'
    if (answer === undefined) {
      const replaced: Turn = request === turn.request ? turn : { ...turn, request: request as SluiceRequest }
      answer = await ask(replaced)
    }
    turn.phase = 'responseGenerated'
    for (const hook of generated) {
      if (!isResponse(answer)) break
      const given = await hook(request, answer as Response, context)
      if (given !== undefined) answer = given
    }
    turn.phase = 'fetch'
    return answer
  }

  function run(exchange: Exchange): void {
    const turn: Turn = { exchange, request: new SluiceRequest(exchange), context: new Context(exchange, host), phase: 'fetch' }
    let result: unknown
    scope.current = turn.context
    try {
      result = scope.store === null ? handle(turn) : scope.store.run(turn.context, handle, turn)
    } catch (error) {
      fail(turn, error)
      return
    } finally {
      scope.current = null
      if (scope.isEntered) leaveEntered()
    }
    if (isSluiceResponse(result)) {
      answer(turn, result)
    } else if (isThenable(result)) {
      exchange.keep()
      settle(turn, result)
    } else {
      answer(turn, result)
    }
  }

  // Not an async function: that would cost a promise and its own suspended frame for each request.
  function settle(turn: Turn, pending: PromiseLike<unknown>): void {
    void Promise.resolve(pending).then(
      (result) => answer(turn, result),
      (error: unknown) => fail(turn, error),
    )
  }

  function answer(turn: Turn, result: unknown): void {
    if (turn.exchange.isDetached) {
      if (result === undefined) finish(turn)
      else fail(turn, sluiceError('ERR_SLUICE_INVALID_STATE', 'The request was detached, so what its handler gives cannot be sent; answer it with server.respond()'))
      return
    }
    if (!isResponse(result)) {
      fail(turn, notAResponse(result))
      return
    }
    let streaming: Promise<void> | undefined
    try {
      streaming = send(turn.exchange, result)
    } catch (error) {
      turn.phase = 'send'
      fail(turn, error)
      return
    }
    if (streaming === undefined) finish(turn)
    else void stream(turn, streaming)
  }

  /** Waits for the end of a streamed answer. It has begun, so its error can only be reported. */
  async function stream(turn: Turn, streaming: Promise<void>): Promise<void> {
    try {
      await streaming
    } catch (error) {
      tell(turn, error, 'send')
    }
    finish(turn)
  }

  function fail(turn: Turn, error: unknown): void {
    if (turn.exchange.isLost || turn.exchange.isDetached) {
      // Nobody reads an answer, or somebody else gives it; and that the client left is no error of the app.
      tell(turn, error, turn.phase)
      finish(turn)
    } else if (typeof app.error === 'function') {
      turn.exchange.keep()
      void recover(turn, error)
    } else {
      giveUp(turn, error)
    }
  }

  /** Lets the app answer for an error. */
  async function recover(turn: Turn, error: unknown): Promise<void> {
    const ask = async (): Promise<unknown> => app.error!(error, turn.request, turn.context)
    let streaming: Promise<void> | undefined
    try {
      const result = await (scope.store === null ? ask() : scope.store.run(turn.context, ask))
      if (!isResponse(result)) throw notAResponse(result, 'error')
      streaming = send(turn.exchange, result)
    } catch (failure) {
      tell(turn, failure, 'error')
      giveUp(turn, error)
      return
    }
    if (streaming === undefined) finish(turn)
    else await stream(turn, streaming)
  }

  function giveUp(turn: Turn, error: unknown): void {
    const { exchange, context, phase } = turn
    const status = statusOf(exchange, error)
    if (status === 500) tell(turn, error, phase)
    void send(exchange, failureResponse(status, fieldOf(exchange, 'accept'), context.id))
    finish(turn)
  }

  /** The answer is out, or nobody wants it. */
  function finish(turn: Turn): void {
    const { exchange, context } = turn
    if (cleaners.length === 0 && afterOf(context) === null && formOf(context) === null) {
      exchange.close()
      return
    }
    exchange.keep()
    // After the flush that sends the answer off, so that the client does not wait for what comes now.
    setImmediate(() => void (scope.store === null ? cleanUp(turn) : scope.store.run(context, cleanUp, turn)))
  }

  async function cleanUp(turn: Turn): Promise<void> {
    const { context, exchange } = turn
    for (const fn of afterOf(context) ?? []) {
      try {
        await fn()
      } catch (error) {
        tell(turn, error, 'after')
      }
    }
    for (const clean of cleaners) {
      try {
        await clean(context)
      } catch (error) {
        tell(turn, error, 'cleaner')
      }
    }
    formOf(context)?.release()
    exchange.close()
  }

  function tell({ exchange, context }: Turn, error: unknown, phase: Phase): void {
    if (!exchange.isPeerError(error)) report(error, phase, summaryOf(context))
  }

  return run
}

function absent({ request, context }: Turn): unknown {
  return failureResponse(404, request.header('accept'), context.id)
}

function hooksOf<T>(...hooks: (T | undefined)[]): T[] {
  return hooks.filter((hook) => hook !== undefined)
}

/** The answers to bodies that cannot be read. */
const BODY_STATUS: ReadonlyMap<unknown, number> = new Map([
  ['ERR_SLUICE_BODY_TOO_LARGE', 413],
  ['ERR_SLUICE_BODY_MALFORMED', 400],
  ['ERR_SLUICE_BODY_TYPE', 415],
])

function statusOf(exchange: Exchange, error: unknown): number {
  if (exchange.isPeerError(error)) return 400
  if (typeof error !== 'object' || error === null || !('code' in error)) return 500
  if (error.code === 'ERR_SLUICE_FILE') return 'cause' in error && isMissing(error.cause) ? 404 : 500
  return BODY_STATUS.get(error.code) ?? 500
}

/** What a file that cannot be opened has in common with one that is not there: a name of no regular file. */
function isMissing(cause: unknown): boolean {
  return typeof cause === 'object' && cause !== null && 'code' in cause && ['ENOENT', 'ENOTDIR', 'EISDIR', 'EINVAL', 'ENAMETOOLONG', 'ELOOP'].includes(String(cause.code))
}

function notAResponse(result: unknown, from = 'fetch'): Error {
  const got = result === null || typeof result !== 'object' ? String(result) : `an object of ${result.constructor?.name ?? 'no class'}`
  return sluiceTypeError('ERR_SLUICE_INVALID_ARG', `\`${from}\` must give a Response, got ${got}`)
}
