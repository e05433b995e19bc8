import { sluiceError, sluiceRangeError, sluiceTypeError } from './errors.ts'
import { native } from './native.ts'

/** How many tokens a key has, and how fast they come back. */
export interface RateLimitOptions {
  /** Tokens that come back in {@link per}, 1 to 1 000 000. */
  readonly limit: number
  /** Milliseconds, above 0. */
  readonly per: number
  /** Tokens at most: what may be taken at once after a pause, 1 to 1 000 000. @default limit */
  readonly burst?: number
  /** Keys that are remembered, 1 to 16 777 216; beyond, one of those that were used longest ago is forgotten, and has all tokens again. 64 bytes and more each. @default 100 000 */
  readonly keys?: number
}

/** What came of taking tokens. */
export interface Taken {
  /** They were taken. */
  readonly ok: boolean
  /** Whole tokens that the key has left. */
  readonly remaining: number
  /** Milliseconds until there are enough, rounded up; 0 when they were taken. For a `retry-after` divide by 1000 and round up. */
  readonly retryAfter: number
}

const NAME_LENGTH_MAX = 255
const TOKENS_MAX = 1_000_000
const KEYS_MAX = 2 ** 24
/** What `rateTake` packs: tokens above, milliseconds below. */
const UNIT = 2 ** 33

/** Token buckets by key, which all threads of the process share. Made by {@link rateLimit}. */
export class RateLimit {
  readonly name: string
  readonly #number: number
  readonly #burst: number

  /** @internal */
  constructor(name: string, number: number, burst: number) {
    this.name = name
    this.#number = number
    this.#burst = burst
  }

  /**
   * Takes `n` tokens of a key, all or none, in one indivisible step. A key that was not seen has all its tokens.
   *
   * @param key 1 to 255 bytes of UTF-8: an address, a user, a token
   * @param n 0 to `burst`; 0 only asks. @default 1
   * @throws ERR_SLUICE_INVALID_ARG
   */
  take(key: string, n = 1): Taken {
    if (!(Number.isInteger(n) && n >= 0 && n <= this.#burst)) throw sluiceRangeError('ERR_SLUICE_INVALID_ARG', `n must be a whole number of tokens, 0 to ${this.#burst} (burst), got ${String(n)}`)
    if (typeof key !== 'string') throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `key must be a string, got ${typeof key}`)
    const packed = native.rateTake(this.#number, key, n)
    if (packed >= 0) return { ok: true, remaining: packed / UNIT, retryAfter: 0 }
    if (packed < 0) {
      const remaining = Math.floor(-packed / UNIT)
      return { ok: false, remaining, retryAfter: -packed - remaining * UNIT }
    }
    throw sluiceRangeError('ERR_SLUICE_INVALID_ARG', `key must have 1 to 255 bytes, got ${Buffer.byteLength(key)}`)
  }
}

/**
 * The rate limit of a name, which all threads of the process share: `limit` tokens per `per` milliseconds and key, evenly (a token bucket).
 * Whoever defines the name again with as many `keys` shares the tokens that are left, also with another rate, as after a reload.
 *
 * @param name 1 to 255 characters
 * @throws ERR_SLUICE_INVALID_ARG, ERR_SLUICE_INVALID_OPTION; ERR_SLUICE_WAIT_LIMIT for the 1025th rate limit
 */
export function rateLimit(name: string, options: RateLimitOptions): RateLimit {
  if (typeof name !== 'string' || name === '' || name.length > NAME_LENGTH_MAX) {
    throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `The name of a rate limit must be a string of 1 to ${NAME_LENGTH_MAX} characters, got ${typeof name === 'string' ? `${name.length} characters` : typeof name}`)
  }
  const { limit, per, burst = limit, keys = 100_000 } = options
  const check = (option: string, value: number, max: number): void => {
    if (!(Number.isInteger(value) && value >= 1 && value <= max)) throw sluiceTypeError('ERR_SLUICE_INVALID_OPTION', `${option} of the rate limit "${name}" must be a whole number, 1 to ${max}, got ${String(value)}`)
  }
  check('limit', limit, TOKENS_MAX)
  check('burst', burst, TOKENS_MAX)
  check('keys', keys, KEYS_MAX)
  if (!(typeof per === 'number' && per > 0 && (per / limit) * burst < UNIT)) {
    throw sluiceTypeError('ERR_SLUICE_INVALID_OPTION', `per of the rate limit "${name}" must be a number of milliseconds above 0, with which a burst comes back in less than 99 days, got ${String(per)}`)
  }
  const number = native.openRateLimit(name, Math.max(1, Math.round((per * 1e6) / limit)), burst, keys)
  if (number < 0) throw sluiceError('ERR_SLUICE_WAIT_LIMIT', `There is no room for the rate limit "${name}": the process has 1024`)
  return new RateLimit(name, number, burst)
}
