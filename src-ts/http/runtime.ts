import type { App, HandledPort, RequestHooks } from '../app.ts'
import { Commands } from '../bridge/commands.ts'
import { RecordKind } from '../bridge/record.ts'
import { type NativeSockets, SocketCommands } from '../bridge/socket-commands.ts'
import { createDrain, type Drain } from '../bridge/drain.ts'
import type { Context } from '../context.ts'
import type { WorkerInfo } from '../process/api.ts'
import type { PortRecord } from '../process/messages.ts'
import type { ContentCoding } from './content-coding.ts'
import { type DetachedRequest, respond } from './detached.ts'
import { Exchange } from './exchange.ts'
import { createPipeline } from './pipeline.ts'
import { Calls } from '../tasks/calls.ts'
import type { TaskClient } from '../tasks/client.ts'
import { PacketCommands } from '../udp/packet-commands.ts'
import type { BoundAddress } from '../udp/packets.ts'
import type { Report } from './report.ts'
import { WorkerHost } from './worker-host.ts'

/** What a worker needs to serve. */
export interface RuntimeOptions {
  readonly native: NativeSockets
  /** The server, as `startServer` named it. */
  readonly server: number
  /** The slot that was reserved for this worker. */
  readonly slot: number
  /** The ports of the server, in their order. */
  readonly ports: readonly (Pick<PortRecord, 'bodyBytes' | 'proxy'> & BoundAddress)[]
  /** Who handles what comes by them. */
  readonly handled: readonly HandledPort[]
  /** How answers are compressed, the preferred coding first; none: not at all. @default [] */
  readonly codings?: readonly ContentCoding[] | undefined
  /** Whether the codings of request bodies are undone. @default false */
  readonly decodes?: boolean | undefined
  /** Most fields of a form that is not in parts. @default 1000 */
  readonly formFields?: number | undefined
  readonly worker: WorkerInfo
  /** Hears of the tasks that this thread delivers. */
  readonly tasks?: TaskClient | undefined
  /** Where relative paths of files start. @default the working directory */
  readonly root?: string | undefined
  /** Run around those of the app: `requestReceived` before, `responseGenerated` after them. */
  readonly hooks?: RequestHooks | undefined
  /** Run after every answer, in order, also after one that failed. */
  readonly cleaners?: readonly ((ctx: Context) => unknown)[] | undefined
  readonly report: Report
}

/** A worker that serves, until {@link detach}. */
export interface WorkerRuntime {
  /** Names the attachment in the calls of `NativeWorker`. */
  readonly worker: number
  /** Says that a command for the core follows, made with {@link worker}: it is flushed soon. False when there is no core any more. */
  announce(): boolean
  /** Answers a request that `ctx.detach()` has let go of, in any worker. As `respond` of `http/detached.ts`. */
  respond(request: DetachedRequest, response: Response): Promise<boolean>
  /** Requests that are being answered, and answers that are being sent or cleaned up after. */
  inflight(): number
  /** Resolves when nothing is in flight and every `ctx.waitUntil()` has settled. */
  settled(): Promise<void>
  /** Fires `ctx.signal` and `req.signal` of all that is in hand, and of what still comes. */
  abort(reason?: unknown): void
  /** Leaves the core: no event is taken any more, answers go nowhere. Idempotent. */
  detach(): void
}

/** Attaches the calling thread as a worker and serves with `app`. @throws what `attachWorker` throws */
export function startRuntime(options: RuntimeOptions): WorkerRuntime {
  const { handled, native, report, tasks } = options
  // Records come only after activation, and on this thread; so the wake-up cannot come before there is a drain.
  let drain: Drain | undefined
  const memory = native.attachWorker(options.server, options.slot, () => drain?.())
  tasks?.attach(memory.worker)
  const commands = new Commands(native, memory.worker)
  const packetCommands = new PacketCommands(native, memory.worker, commands)
  const host = new WorkerHost(commands, new SocketCommands(native, options.server, memory.worker, commands), packetCommands, memory, options)
  const calls = new Calls({ native, worker: memory.worker, report: (error, task) => report(error, 'task', undefined, task), isHeld: () => commands.isHeld, ...host.account })
  const answer = byPort(handled.map(({ app, tcp, udp }) => (tcp === undefined && udp === undefined ? app : undefined)), (app) => createPipeline(app, host, options))
  drain = createDrain(
    commands,
    memory,
    {
      batch: (now) => host.beginBatch(now),
      request: (lane, at) => answer(new Exchange(host, lane, at)),
      follow: (lane, at, kind) => {
        if (kind < RecordKind.WS_OPEN) host.exchangesOf(lane).deliver(lane, at, kind)
        else if (kind === RecordKind.PACKET) host.packets.deliver(lane, at)
        else if (kind === RecordKind.TASK) calls.deliver(lane, at)
        else if (kind === RecordKind.TASK_RESULT) tasks?.result(lane, at)
        else if (kind === RecordKind.TASK_PROGRESS) tasks?.progress(lane, at)
        else if (kind === RecordKind.TASK_ABORT) calls.abortOne(lane, at)
        else host.sockets.deliver(lane, at, kind)
      },
      failed: (error) => report(error, 'bridge'),
    },
  )
  // A worker starts unparked; this parks it.
  drain()
  return {
    worker: memory.worker,
    announce: () => commands.announce(),
    respond: (request, response) => respond(host, request, response),
    inflight: () => host.inflight,
    settled: () => host.settled(),
    abort: (reason = new DOMException('The worker is stopping', 'AbortError')) => {
      host.abort(reason)
      calls.abort(reason)
    },
    detach: () => {
      drain.stop()
      tasks?.detach()
      commands.close()
    },
  }
}

/** One pipeline for each app; where all ports have the same app, the request is not even asked for its port. */
function byPort(apps: readonly (App | undefined)[], create: (app: App) => (exchange: Exchange) => void): (exchange: Exchange) => void {
  const pipelines = new Map([...new Set(apps)].flatMap((app) => (app === undefined ? [] : [[app, create(app)] as const])))
  // No request comes by a port without an app.
  const answers = apps.map((app) => pipelines.get(app!)!)
  const [only] = pipelines.values()
  return pipelines.size === 1 ? only! : (exchange) => answers[exchange.port]!(exchange)
}
