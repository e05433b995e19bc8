import { sluiceError, sluiceTypeError } from '../errors.ts'
import type { OpenExchange } from '../bridge/exchanges.ts'
import type { Answerable, Exchange, ExchangeHost, Outgoing } from './exchange.ts'
import { failureResponse } from './failure.ts'
import { isResponse, send } from './send.ts'

/** A request that is to be answered later, or by somebody else. It can be cloned and kept as text; it means nothing to another server. */
export interface DetachedRequest {
  readonly id: string
}

/** What an id says: reactor, place, token, HEAD or not, and how the answer may be coded. */
const ID = /^(\d{1,3})\.(\d{1,8})\.(\d{1,16})\.([01])\.(\d{1,8})$/

/**
 * Lets go of a request. Its client waits, and whoever has the id may answer it until the time for the answer is up.
 *
 * @throws ERR_SLUICE_INVALID_STATE when its answer has begun
 */
export function detach(exchange: Exchange): DetachedRequest {
  const { index, lane, isHead, coding } = exchange
  const token = exchange.detach()
  return { id: `${lane.index}.${index}.${token}.${isHead ? 1 : 0}.${coding}` }
}

/**
 * Answers a detached request. Resolves when the answer is handed over, a streamed one when it has come to its end: false when the
 * client has gone, the request was answered already, its time is up, or nobody knows it.
 *
 * @throws TypeError ERR_SLUICE_INVALID_ARG for what is no detached request or no response; what makes a response unsendable, which is
 * answered with 500; and what a streamed body fails with
 */
export async function respond(host: DetachedHost, request: DetachedRequest, response: Response): Promise<boolean> {
  const id: unknown = typeof request === 'object' && request !== null ? request.id : undefined
  const match = typeof id === 'string' ? ID.exec(id) : null
  if (match === null) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `A detached request is what ctx.detach() gives, got ${JSON.stringify(request) ?? String(request)}`)
  if (!isResponse(response)) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', 'server.respond() needs a Response')
  const [lane, index, token, head, coding] = match.slice(1).map(Number) as [number, number, number, number, number]
  if (lane >= host.laneCount) return false
  const generation = host.commands.claim(lane, index, token)
  if (generation === undefined) return false
  const exchange = new ClaimedExchange(host, { lane: { index: lane }, index, generation, isHead: head === 1, coding })
  // In this order: what the core says next is for it.
  exchange.keep()
  try {
    await answer(exchange, response)
    return !exchange.isLost
  } finally {
    exchange.close()
  }
}

async function answer(exchange: ClaimedExchange, response: Response): Promise<void> {
  let streaming: Promise<void> | undefined
  try {
    streaming = send(exchange, response)
  } catch (error) {
    void send(exchange, failureResponse(500, null, ''))
    throw error
  }
  await streaming
}

/** What all claimed exchanges of one worker share. */
export interface DetachedHost extends ExchangeHost {
  /** Reactors of the server. */
  readonly laneCount: number
  keepClaimed(exchange: ClaimedExchange): void
  closeClaimed(exchange: ClaimedExchange): void
}

/** An exchange whose request somebody else has read: there is only its answer. */
export class ClaimedExchange implements Answerable, OpenExchange {
  readonly host: DetachedHost
  readonly lane: { readonly index: number }
  readonly index: number
  readonly generation: number
  readonly isHead: boolean
  readonly coding: number
  outgoing: Outgoing | null = null
  isLost = false
  #kept = false

  constructor(host: DetachedHost, { coding, generation, index, isHead, lane }: Pick<Answerable, 'coding' | 'generation' | 'index' | 'isHead' | 'lane'>) {
    this.host = host
    this.lane = lane
    this.index = index
    this.generation = generation
    this.isHead = isHead
    this.coding = coding
  }

  keep(): void {
    if (this.#kept) return
    this.#kept = true
    this.host.keepClaimed(this)
  }

  close(): void {
    this.host.closeClaimed(this)
  }

  takeOver(): Exchange {
    throw sluiceError('ERR_SLUICE_INVALID_STATE', 'A detached request cannot become a WebSocket or an event stream; answer with ctx.upgrade() or ctx.sse() where the request came in')
  }

  lost(): void {
    this.isLost = true
    this.outgoing?.lost(new DOMException('The client has left', 'AbortError'))
  }

  drained(): void {
    this.outgoing?.drained()
  }

  // Nobody here reads the request or waits for its signal.
  bodyChunk(): void {}
  bodyEnd(): void {}
  halfClosed(): void {}
  late(): void {}
  formNews(): void {}
  abort(): void {}
}
