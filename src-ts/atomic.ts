import { openMailbox } from './bridge/mailbox.ts'
import { checkWait, waitForMail, type WaitOptions } from './bridge/wait.ts'
import { sluiceError, sluiceRangeError, sluiceTypeError } from './errors.ts'
import { native } from './native.ts'

/**
 * The memory of all atomics, mapped when this thread makes its first. JavaScript changes it itself, by `Atomics`: a call into Rust would
 * cost more. It never leaves this file, for it shows what others count.
 */
let memory: { readonly int32: Int32Array; readonly int64: BigInt64Array } | undefined

function cells(): NonNullable<typeof memory> {
  if (memory === undefined) {
    const buffer = native.atomicMemory()
    memory = { int32: new Int32Array(buffer), int64: new BigInt64Array(buffer) }
  }
  return memory
}

/** Where the value of a name is, in bytes. @throws ERR_SLUICE_INVALID_ARG, ERR_SLUICE_ATOMIC_FULL */
function offsetOf(name: string, isLong: boolean, initial: bigint): number {
  const offset = typeof name === 'string' ? native.atomicCell(name, isLong, initial) : -1
  if (offset >= 0) return offset
  switch (offset) {
    case -1:
      throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `The name of an atomic must be a string of 1 to 64 bytes, got ${typeof name === 'string' ? `${Buffer.byteLength(name)} bytes` : typeof name}`)
    case -2:
      throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `"${name}" is ${isLong ? 'an Atomic, not an AtomicLong' : 'an AtomicLong, not an Atomic'}`)
    default:
      throw sluiceRangeError('ERR_SLUICE_ATOMIC_FULL', `There is no room for the atomic "${name}": 8192 have names already`)
  }
}

function checkInt32(what: string, value: number): void {
  if (typeof value !== 'number' || (value | 0) !== value) throw sluiceRangeError('ERR_SLUICE_INVALID_ARG', `${what} must be a 32-bit integer, got ${String(value)}`)
}

function checkBigInt(what: string, value: bigint): void {
  if (typeof value !== 'bigint') throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `${what} must be a bigint, got ${typeof value}`)
}

/**
 * A 32-bit integer that all threads of the process share by its name. Each call is one indivisible step; results wrap around, from
 * 2 147 483 647 to -2 147 483 648. Corresponds to `Swoole\Atomic`, which has no sign.
 */
export class Atomic {
  readonly name: string
  readonly #words: Int32Array
  readonly #at: number

  /**
   * @param name 1 to 64 bytes of UTF-8
   * @param initial its value, if nobody has made it before. @default 0
   * @throws ERR_SLUICE_INVALID_ARG also when the name is that of an {@link AtomicLong}; ERR_SLUICE_ATOMIC_FULL for the 8193rd name
   */
  constructor(name: string, initial = 0) {
    checkInt32('initial', initial)
    this.#at = offsetOf(name, false, BigInt(initial)) / Int32Array.BYTES_PER_ELEMENT
    this.#words = cells().int32
    this.name = name
  }

  /** Adds `n`, and gives the new value. @default n = 1 */
  add(n = 1): number {
    checkInt32('n', n)
    return (Atomics.add(this.#words, this.#at, n) + n) | 0
  }

  /** Takes `n` away, and gives the new value. @default n = 1 */
  sub(n = 1): number {
    checkInt32('n', n)
    return (Atomics.sub(this.#words, this.#at, n) - n) | 0
  }

  get(): number {
    return Atomics.load(this.#words, this.#at)
  }

  set(value: number): void {
    checkInt32('value', value)
    Atomics.store(this.#words, this.#at, value)
  }

  /** Sets `value` if it is `expected` now. Whether it was. */
  compareSet(expected: number, value: number): boolean {
    checkInt32('expected', expected)
    checkInt32('value', value)
    return Atomics.compareExchange(this.#words, this.#at, expected, value) === expected
  }

  /**
   * Waits while the value is `expected`, until {@link wake}. True when it was woken, and at once when the value is another; false after
   * `timeout`. A change alone wakes nobody: who makes it calls `wake()` after it. Look at the value again, somebody may have been faster.
   *
   * @throws the reason of `signal`; ERR_SLUICE_WAIT_LIMIT when 65 536 wait for atomics; ERR_SLUICE_INVALID_ARG
   */
  async wait(expected: number, options: WaitOptions = {}): Promise<boolean> {
    checkInt32('expected', expected)
    checkWait(options)
    openMailbox()
    const offset = this.#at * Int32Array.BYTES_PER_ELEMENT
    const ticket = native.atomicWait(offset, expected)
    if (ticket === 0) return true
    if (Number.isNaN(ticket)) throw sluiceError('ERR_SLUICE_WAIT_LIMIT', `Too many wait for the atomic "${this.name}": 65536 wait for atomics already`)
    return waitForMail<boolean>(
      ticket,
      options,
      () => true,
      () => native.atomicCancel(offset, ticket),
      ({ resolve }) => resolve(false),
    )
  }

  /** Wakes those who have waited longest in the server, at most `count`. How many. @default all */
  wake(count = Number.POSITIVE_INFINITY): number {
    if (!(typeof count === 'number' && count >= 0)) throw sluiceRangeError('ERR_SLUICE_INVALID_ARG', `count must be 0 or more, got ${String(count)}`)
    return native.atomicWake(this.#at * Int32Array.BYTES_PER_ELEMENT, Math.min(count, 0xffff_ffff))
  }
}

/**
 * A 64-bit integer that all threads of the process share by its name. Each call is one indivisible step; results wrap around, and
 * arguments are taken modulo 2⁶⁴. Nobody can wait for it. Corresponds to `Swoole\Atomic\Long`.
 */
export class AtomicLong {
  readonly name: string
  readonly #words: BigInt64Array
  readonly #at: number

  /** As {@link Atomic}. @param initial its value, if nobody has made it before. @default 0n */
  constructor(name: string, initial = 0n) {
    checkBigInt('initial', initial)
    this.#at = offsetOf(name, true, BigInt.asIntN(64, initial)) / BigInt64Array.BYTES_PER_ELEMENT
    this.#words = cells().int64
    this.name = name
  }

  /** Adds `n`, and gives the new value. @default n = 1n */
  add(n = 1n): bigint {
    checkBigInt('n', n)
    return BigInt.asIntN(64, Atomics.add(this.#words, this.#at, n) + n)
  }

  /** Takes `n` away, and gives the new value. @default n = 1n */
  sub(n = 1n): bigint {
    checkBigInt('n', n)
    return BigInt.asIntN(64, Atomics.sub(this.#words, this.#at, n) - n)
  }

  get(): bigint {
    return Atomics.load(this.#words, this.#at)
  }

  set(value: bigint): void {
    checkBigInt('value', value)
    Atomics.store(this.#words, this.#at, value)
  }

  /** Sets `value` if it is `expected` now. Whether it was. */
  compareSet(expected: bigint, value: bigint): boolean {
    checkBigInt('expected', expected)
    checkBigInt('value', value)
    const was = BigInt.asIntN(64, expected)
    return Atomics.compareExchange(this.#words, this.#at, was, value) === was
  }
}
