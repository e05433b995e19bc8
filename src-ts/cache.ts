import { ending } from './ending.ts'
import { sluiceError, sluiceRangeError, sluiceTypeError } from './errors.ts'
import { acquireKey } from './lock.ts'
import { native } from './native.ts'

/** What a cache is. */
export interface CacheOptions {
  /** Bytes it keeps to, 1024 or more: values as structured clone writes them (text as UTF-8), keys, and 128 bytes for each entry. */
  readonly maxBytes: number
  /** Milliseconds that a value lives, unless `set` or `load` say otherwise. @default for ever */
  readonly ttl?: number
}

/** How to keep one value. */
export interface CacheSetOptions {
  /** Milliseconds that it lives, 0 or more. @default the `ttl` of the cache */
  readonly ttl?: number
}

/** Figures of a cache, since the process started and over all its threads. */
export interface CacheStats {
  /** Values that were found. */
  readonly hits: number
  /** Keys that had no value, or one that had expired. */
  readonly misses: number
  /** Values that left to make room. */
  readonly evicted: number
  /** Values that were asked for after their time, and left. */
  readonly expired: number
}

const NAME_LENGTH_MAX = 255
/** The longest key, in UTF-16 units. */
const KEY_LENGTH_MAX = 4096
const BYTES_MIN = 1024
const BYTES_MAX = 2 ** 48

interface Figures extends CacheStats {
  readonly size: number
  readonly bytes: number
  readonly maxBytes: number
  readonly entryBytesMax: number
}

/** Values that this thread is loading, by the cache's number and the key: who asks meanwhile gets the same promise. */
const loading = new Map<string, Promise<unknown>>()

/**
 * Values by key that all threads of the process share, within a number of bytes. What is used again stays longer than what is used once.
 * Made by {@link defineCache}.
 *
 * Values are cloned: what `get` gives is a copy of its own. They are kept as bytes outside the heaps of all threads.
 */
export class Cache<V = unknown> {
  readonly name: string
  readonly #number: number
  readonly #ttl: number | undefined

  /** @internal */
  constructor(name: string, number: number, ttl: number | undefined) {
    this.name = name
    this.#number = number
    this.#ttl = ttl
  }

  /** A copy of the value, or undefined. @throws ERR_SLUICE_INVALID_ARG for a key that is no string of 1 to 4096 characters, as all calls below */
  get(key: string): V | undefined {
    checkKey(key)
    const data = native.cacheGet(this.#number, key)
    return typeof data === 'string' ? (data as V) : data && (v8().deserialize(data) as V)
  }

  /** Keeps a copy of a value. @throws ERR_SLUICE_CACHE_VALUE_TOO_LARGE above 97 % of `maxBytes`; ERR_SLUICE_INVALID_ARG for what structured clone cannot copy */
  set(key: string, value: V, { ttl = this.#ttl }: CacheSetOptions = {}): void {
    checkKey(key)
    checkTtl(ttl)
    const bytes = native.cacheSet(this.#number, key, encode(value), ttl ?? -1)
    if (bytes !== 0) {
      const { entryBytesMax, maxBytes } = this.#figures()
      throw sluiceRangeError('ERR_SLUICE_CACHE_VALUE_TOO_LARGE', `The value takes ${bytes} bytes with its key; the cache "${this.name}" takes at most ${entryBytesMax}, 97 % of its maxBytes (${maxBytes})`)
    }
  }

  /** Whether there is a value. Counts as no use of it. */
  has(key: string): boolean {
    checkKey(key)
    return native.cacheHas(this.#number, key)
  }

  /** Forgets a value. Whether there was one. */
  delete(key: string): boolean {
    checkKey(key)
    return native.cacheDelete(this.#number, key)
  }

  /** Forgets all values. */
  clear(): void {
    native.cacheClear(this.#number)
  }

  /**
   * The value, or what `loader` resolves with, which is kept then. There is one loader of a key at a time in the whole server: others who want
   * it wait. If the worker that loads dies, the next one in line loads. An error reaches those who wait in the same thread; another thread
   * tries itself. Those who wait in one thread get the same object.
   *
   * `signal` is aborted when the worker has no time left: it is reloaded or stopped, and `maxWaitTime` is over.
   *
   * @throws what `loader` throws; as {@link set}; ERR_SLUICE_WAIT_LIMIT when too many wait for one key
   */
  load(key: string, loader: (signal: AbortSignal) => V | PromiseLike<V>, options: CacheSetOptions = {}): Promise<V> {
    try {
      checkKey(key)
      checkTtl(options.ttl)
      const data = native.cacheGet(this.#number, key)
      if (data !== undefined) return Promise.resolve(decode<V>(data))
    } catch (error) {
      return Promise.reject(error as Error)
    }
    const place = `${this.#number}:${key}`
    const running = loading.get(place) as Promise<V> | undefined
    if (running) return running
    const promise = this.#load(key, loader, options).finally(() => loading.delete(place))
    loading.set(place, promise)
    return promise
  }

  /** Entries. Those that have expired count until they are asked for, or leave to make room. */
  get size(): number {
    return this.#figures().size
  }

  /** What they take: at most {@link maxBytes}. */
  get bytes(): number {
    return this.#figures().bytes
  }

  get maxBytes(): number {
    return this.#figures().maxBytes
  }

  stats(): CacheStats {
    const { hits, misses, evicted, expired } = this.#figures()
    return { hits, misses, evicted, expired }
  }

  async #load(key: string, loader: (signal: AbortSignal) => V | PromiseLike<V>, options: CacheSetOptions): Promise<V> {
    const held = await acquireKey(`cache:${this.#number}:${key}`, `The key "${key.slice(0, 64)}" of the cache "${this.name}"`, {})
    try {
      // Whoever had it before may have loaded it.
      const data = native.cacheGet(this.#number, key)
      if (data !== undefined) return decode<V>(data)
      const value = await loader(ending())
      this.set(key, value, options)
      return value
    } finally {
      held.release()
    }
  }

  #figures(): Figures {
    return JSON.parse(native.cacheStats(this.#number)) as Figures
  }
}

/**
 * The cache of a name, which all threads of the process share. The first to define it makes it; who defines it again with another `maxBytes`
 * changes that for all.
 *
 * @param name 1 to 255 characters
 * @throws ERR_SLUICE_INVALID_ARG, ERR_SLUICE_INVALID_OPTION; ERR_SLUICE_WAIT_LIMIT for the 1025th cache
 */
export function defineCache<V = unknown>(name: string, { maxBytes, ttl }: CacheOptions): Cache<V> {
  if (typeof name !== 'string' || name === '' || name.length > NAME_LENGTH_MAX) {
    throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `The name of a cache must be a string of 1 to ${NAME_LENGTH_MAX} characters, got ${typeof name === 'string' ? `${name.length} characters` : typeof name}`)
  }
  if (!(Number.isInteger(maxBytes) && maxBytes >= BYTES_MIN && maxBytes <= BYTES_MAX)) {
    throw sluiceTypeError('ERR_SLUICE_INVALID_OPTION', `maxBytes of the cache "${name}" must be a whole number of bytes from ${BYTES_MIN} on, got ${String(maxBytes)}`)
  }
  checkTtl(ttl)
  const number = native.openCache(name, maxBytes)
  if (number < 0) throw sluiceError('ERR_SLUICE_WAIT_LIMIT', `There is no room for the cache "${name}": the process has 1024`)
  return new Cache<V>(name, number, ttl)
}

function checkKey(key: string): void {
  if (typeof key !== 'string' || key === '' || key.length > KEY_LENGTH_MAX) {
    throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `A key must be a string of 1 to ${KEY_LENGTH_MAX} characters, got ${typeof key === 'string' ? `${key.length} characters` : typeof key}`)
  }
}

function checkTtl(ttl: number | undefined): void {
  if (ttl !== undefined && !(typeof ttl === 'number' && ttl >= 0)) throw sluiceRangeError('ERR_SLUICE_INVALID_ARG', `ttl must be 0 or more milliseconds, got ${String(ttl)}`)
}

/** Text crosses as it is; half of a surrogate pair would not survive that. */
function encode(value: unknown): string | Uint8Array {
  if (typeof value === 'string' && value.isWellFormed()) return value
  try {
    return v8().serialize(value)
  } catch (cause) {
    throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', 'The value cannot be cloned', { cause })
  }
}

function decode<V>(data: string | Buffer): V {
  return (typeof data === 'string' ? data : v8().deserialize(data)) as V
}

/** Loaded with the first value that is no text: a worker without any starts without it. */
function v8(): typeof import('node:v8') {
  return process.getBuiltinModule('node:v8')
}
