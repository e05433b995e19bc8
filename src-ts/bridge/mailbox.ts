/**
 * What reaches this thread later: grants of locks, wake-ups of atomics, news of watches. The native side has one mailbox per thread,
 * opened when it is first needed; the receivers hang on `globalThis`, for a second copy of this module shares the mailbox.
 */
import { threadId } from 'node:worker_threads'
import { native } from '../native.ts'

interface Receivers {
  readonly byTicket: Map<number, (value: number) => void>
  /** How many of them keep the event loop alive. */
  held: number
}

const KEY: unique symbol = Symbol.for('sluice.mailbox') as never
const holder = globalThis as typeof globalThis & { [KEY]?: Receivers }

/** Opens the mailbox of this thread, which calls that are answered later need. Idempotent. */
export function openMailbox(): Receivers {
  if (holder[KEY]) return holder[KEY]
  const receivers: Receivers = { byTicket: new Map(), held: 0 }
  holder[KEY] = receivers
  native.openMailbox(threadId, () => {
    const mail = native.takeMail()
    for (let at = 0; at < mail.length; at += 2) receivers.byTicket.get(mail[at]!)?.(mail[at + 1]!)
  })
  return receivers
}

/** Hears what comes for a ticket, and keeps the event loop alive, until {@link forget}. */
export function receive(ticket: number, receiver: (value: number) => void): void {
  const receivers = openMailbox()
  receivers.byTicket.set(ticket, receiver)
  if (receivers.held++ === 0) native.holdMailbox(true)
}

/** Drops what still comes for a ticket. */
export function forget(ticket: number): void {
  const receivers = openMailbox()
  if (receivers.byTicket.delete(ticket) && --receivers.held === 0) native.holdMailbox(false)
}
