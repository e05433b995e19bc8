import { inspect, type InspectOptions } from 'node:util'
import { fieldOf, fieldsOf, type Head } from './head.ts'
import { nativeClasses, whenNativeClassesLoad } from './native-classes.ts'

/**
 * The `Headers` of a received request: reads single fields where they lie, and becomes Node's own when it is changed.
 *
 * Node's takes some microseconds to fill; most handlers read two fields of it.
 */
export class RequestHeaders {
  readonly #head: Head
  /** Holds the fields once one was changed. */
  #own: Headers | null = null

  constructor(head: Head) {
    this.#head = head
  }

  /** The same fields once more, changed apart from these. */
  copy(): RequestHeaders {
    const copy = new RequestHeaders(this.#head)
    if (this.#own !== null) copy.#own = new (nativeClasses().Headers)(this.#own)
    return copy
  }

  get(name: string): string | null {
    return this.#own === null ? fieldOf(this.#head, String(name)) : this.#own.get(name)
  }

  has(name: string): boolean {
    return this.get(name) !== null
  }

  getSetCookie(): string[] {
    return this.#changed().getSetCookie()
  }

  append(name: string, value: string): void {
    this.#changed().append(name, value)
  }

  set(name: string, value: string): void {
    this.#changed().set(name, value)
  }

  delete(name: string): void {
    this.#changed().delete(name)
  }

  forEach(callback: (value: string, name: string, parent: Headers) => void, thisArg?: unknown): void {
    for (const [name, value] of this) callback.call(thisArg, value, name, this as unknown as Headers)
  }

  *keys(): HeadersIterator<string> {
    for (const [name] of this) yield name
  }

  *values(): HeadersIterator<string> {
    for (const [, value] of this) yield value
  }

  entries(): HeadersIterator<[string, string]> {
    return this.#own === null ? sorted(this.#head) : this.#own.entries()
  }

  [Symbol.iterator](): HeadersIterator<[string, string]> {
    return this.entries()
  }

  [inspect.custom](_depth: number, options: InspectOptions): string {
    return `Headers ${inspect(Object.fromEntries(this), options)}`
  }

  #changed(): Headers {
    return (this.#own ??= new (nativeClasses().Headers)(fieldsOf(this.#head)))
  }
}

Object.defineProperty(RequestHeaders.prototype, Symbol.toStringTag, { value: 'Headers', configurable: true })
// `instanceof Headers`, without the constructor that is the cost.
whenNativeClassesLoad(({ Headers }) => Object.setPrototypeOf(RequestHeaders.prototype, Headers.prototype))

/** Names in order, each once with its values joined, as the standard iterates. */
function* sorted(head: Head): HeadersIterator<[string, string]> {
  const names = new Set<string>()
  for (const [name] of fieldsOf(head)) names.add(name)
  for (const name of [...names].sort()) yield [name, fieldOf(head, name)!]
}
