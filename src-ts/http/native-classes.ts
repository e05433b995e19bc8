/** The classes of the Fetch standard as Node has them. */
export interface NativeClasses {
  readonly Request: typeof Request
  readonly Response: typeof Response
  readonly Headers: typeof Headers
}

type Name = keyof NativeClasses

// Taken before user code runs and before `installGlobals` puts ours in their place. Reading a descriptor loads nothing.
const originals = { Request: originalOf('Request'), Response: originalOf('Response'), Headers: originalOf('Headers') }
const originalFetch = globalThis.fetch
const links: ((classes: NativeClasses) => void)[] = []
let loaded: NativeClasses | null = null

/**
 * Node's own classes, loaded at the first call: they come in one piece with an HTTP client, about 40 ms and 7 MiB for each
 * thread, and most apps never need them.
 */
export function nativeClasses(): NativeClasses {
  if (loaded === null) {
    loaded = { Request: read('Request'), Response: read('Response'), Headers: read('Headers') }
    for (const link of links) link(loaded)
  }
  return loaded
}

/** Calls `link` when the classes are loaded; at once when they are. */
export function whenNativeClassesLoad(link: (classes: NativeClasses) => void): void {
  links.push(link)
  if (loaded !== null) link(loaded)
}

/** Whether somebody has one of the classes already, so that not loading them would save nothing. */
export function areNativeClassesInUse(): boolean {
  return (Object.keys(originals) as Name[]).some((name) => originalOf(name)?.get === undefined)
}

/** Node's `fetch`, whose answers are instances of the classes above. */
export function nativeFetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  nativeClasses()
  return originalFetch(input, init)
}

/** `value instanceof` Node's class; loads it only for what says to be one. */
export function isNativeInstance(name: Name, value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (loaded === null && Reflect.get(value, Symbol.toStringTag) !== name) return false
  return value instanceof nativeClasses()[name]
}

function originalOf(name: Name): PropertyDescriptor | undefined {
  return Object.getOwnPropertyDescriptor(globalThis, name)
}

function read<N extends Name>(name: N): NativeClasses[N] {
  const original = originals[name]
  if (original?.get === undefined) return original?.value as NativeClasses[N]
  const installed = Object.getOwnPropertyDescriptor(globalThis, name)
  const value = original.get.call(globalThis) as NativeClasses[N]
  // Node's getter has put its class in the place of whatever stood there.
  if (installed !== undefined && installed.get !== original.get) Object.defineProperty(globalThis, name, installed)
  return value
}
