import { openMailbox } from './bridge/mailbox.ts'
import { checkWait, waitForMail, type WaitOptions } from './bridge/wait.ts'
import { sluiceError, sluiceTypeError } from './errors.ts'
import { native } from './native.ts'

/** How to ask for a lock. */
export interface AcquireOptions extends WaitOptions {
  /** Share it with all who ask so: readers. Alone otherwise. @default false */
  readonly shared?: boolean
}

/** A lock in hand. `using held = await lock.acquire()` gives it back at the end of the block. */
export interface Held extends Disposable {
  /** Gives the lock back. The second call does nothing. */
  release(): void
  /**
   * Grows with every grant of any lock, also over restarts of the server: a store that remembers the highest it has seen can refuse who
   * held the lock before. A safe integer.
   */
  readonly fence: number
}

/** The longest name, in UTF-16 units. */
const NAME_LENGTH_MAX = 255

/**
 * A lock that all threads of the process share by its name: workers, task workers, the master, any `worker_thread`.
 *
 * Who asks first is granted first, and a writer that waits is not overtaken by readers. The lock passes on when its holder's thread ends,
 * however it ends. It is not re-entrant: who acquires a lock that it holds waits for itself. Corresponds to `Swoole\Lock`.
 */
export class Lock {
  readonly name: string
  readonly #key: string

  /** @param name 1 to 255 characters. @throws ERR_SLUICE_INVALID_ARG */
  constructor(name: string) {
    if (typeof name !== 'string' || name === '' || name.length > NAME_LENGTH_MAX) {
      throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `The name of a lock must be a string of 1 to ${NAME_LENGTH_MAX} characters, got ${typeof name === 'string' ? `${name.length} characters` : typeof name}`)
    }
    this.name = name
    this.#key = `lock:${name}`
  }

  /**
   * Waits for the lock.
   *
   * @throws ERR_SLUICE_LOCK_TIMEOUT after `timeout`; the reason of `signal`; ERR_SLUICE_WAIT_LIMIT when 16 384 wait for it or 65 536 locks are held;
   * ERR_SLUICE_INVALID_ARG
   */
  async acquire(options: AcquireOptions = {}): Promise<Held> {
    checkWait(options)
    return acquireKey(this.#key, `Lock "${this.name}"`, options)
  }

  /** The lock, if it is to be had at once. @throws ERR_SLUICE_WAIT_LIMIT when 65 536 locks are held */
  tryAcquire({ shared = false }: { readonly shared?: boolean } = {}): Held | undefined {
    const answer = ask(this.#key, `Lock "${this.name}"`, shared, false)
    return answer === 0 ? undefined : new Grant(answer, answer)
  }

  /** Runs `fn` while it holds the lock, and releases it when what `fn` returns has settled. @throws as {@link acquire} */
  async run<T>(fn: (held: Held) => T | PromiseLike<T>, options?: AcquireOptions): Promise<T> {
    const held = await this.acquire(options)
    try {
      return await fn(held)
    } finally {
      held.release()
    }
  }
}

/** Waits for a lock of whatever kind; `subject` names it in errors. The options were checked. */
export function acquireKey(key: string, subject: string, options: AcquireOptions): Held | Promise<Held> {
  const answer = ask(key, subject, options.shared === true, true)
  if (answer > 0) return new Grant(answer, answer)
  const ticket = -answer
  return waitForMail<Held>(
    ticket,
    options,
    (fence) => new Grant(ticket, fence),
    // Also one that was granted a moment ago: nobody has seen it.
    () => {
      native.lockEnd(ticket)
      return true
    },
    ({ reject }) => reject(sluiceError('ERR_SLUICE_LOCK_TIMEOUT', `${subject} was not granted within ${options.timeout} ms`)),
  )
}

/** The ticket; negative when it waits, 0 when it may not. */
function ask(key: string, subject: string, shared: boolean, mayWait: boolean): number {
  openMailbox()
  const answer = native.lockAcquire(key, shared, mayWait)
  if (Number.isNaN(answer)) throw sluiceError('ERR_SLUICE_WAIT_LIMIT', `${subject} cannot be acquired: 16384 wait for it, or the process holds 65536 locks, or 262144 requests for locks are open`)
  return answer
}

class Grant implements Held {
  readonly fence: number
  #ticket: number

  constructor(ticket: number, fence: number) {
    this.#ticket = ticket
    this.fence = fence
  }

  release(): void {
    const ticket = this.#ticket
    if (ticket === 0) return
    this.#ticket = 0
    native.lockEnd(ticket)
  }

  [Symbol.dispose](): void {
    this.release()
  }
}
