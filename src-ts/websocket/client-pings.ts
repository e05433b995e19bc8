import { sluiceError } from '../errors.ts'

/** Pings without an answer that a client may have, so that a silent server costs no memory. */
const PINGS_MAX = 1024

interface Ping {
  readonly payload: Buffer
  readonly sentAt: number
  readonly resolve: (ms: number) => void
  readonly reject: (reason: unknown) => void
}

/** The pings that wait for their pong. */
export class PendingPings {
  #pings: Ping[] = []
  #count = 0

  /** A payload that no earlier ping of this client had. */
  nextPayload(): Buffer {
    const payload = Buffer.alloc(8)
    payload.writeBigUInt64BE(BigInt(++this.#count))
    return payload
  }

  /** Waits for the pong of a ping that `send` sends. Resolves with milliseconds; rejects with the reason of `signal`. */
  async add(payload: Buffer, send: () => void, signal: AbortSignal | undefined): Promise<number> {
    signal?.throwIfAborted()
    if (this.#pings.length >= PINGS_MAX) throw sluiceError('ERR_SLUICE_INVALID_STATE', `The server has not answered ${PINGS_MAX} pings; no more are sent`)
    let ping: Ping | undefined
    const onAbort = (): void => {
      this.#pings = this.#pings.filter((other) => other !== ping)
      ping?.reject(signal?.reason)
    }
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      return await new Promise((resolve, reject) => {
        ping = { payload, sentAt: performance.now(), resolve, reject }
        this.#pings.push(ping)
        send()
      })
    } finally {
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** A pong came. A server may answer only the latest of several pings (RFC 6455, 5.5.3), so it settles the earlier ones too. */
  answered(payload: Buffer): void {
    const index = this.#pings.findIndex((ping) => ping.payload.equals(payload))
    const now = performance.now()
    for (const ping of this.#pings.splice(0, index + 1)) ping.resolve(now - ping.sentAt)
  }

  /** The connection they went out on is gone. */
  fail(error: Error): void {
    for (const ping of this.#pings.splice(0)) ping.reject(error)
  }
}
