import { areNativeClassesInUse, isNativeInstance, nativeClasses, nativeFetch, whenNativeClassesLoad } from './native-classes.ts'
import { isSluiceRequest, toNativeRequest } from './request.ts'
import { SluiceResponse } from './response.ts'

let isInstalled = false

/**
 * Puts our `Response` in the place of the global one, and lets `new Request(req)` and `fetch(req)` take our requests.
 * Idempotent; once per thread. Loads nothing that is not loaded: Node's classes come when they are first needed.
 */
export function installGlobals(): void {
  if (isInstalled) return
  isInstalled = true
  if (areNativeClassesInUse()) nativeClasses()
  install('Response', SluiceResponse, false)
  install('Request', RequestClass, false)
  install('fetch', (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => callFetch(input, init), true)
  // Through us, so that our headers become instances of it at the same time.
  const headers = { get: () => nativeClasses().Headers, set: (value: unknown) => install('Headers', value, false), enumerable: false, configurable: true }
  Object.defineProperty(globalThis, 'Headers', headers)
  whenNativeClassesLoad(({ Headers }) => {
    if (Object.getOwnPropertyDescriptor(globalThis, 'Headers')?.get === headers.get) install('Headers', Headers, false)
  })
  for (const name of ['compileStreaming', 'instantiateStreaming'] as const) linkFirst(WebAssembly, name)
}

function install(name: string, value: unknown, enumerable: boolean): void {
  Object.defineProperty(globalThis, name, { value, writable: true, enumerable, configurable: true })
}

/** A proxy may not hide what its target has for good; this one gets the only such member, `prototype`, from Node's class. */
function RequestTarget(): void {}
whenNativeClassesLoad(({ Request }) => Object.defineProperty(RequestTarget, 'prototype', { value: Request.prototype, writable: false }))

/**
 * `Request` stays Node's own class, behind a proxy that unwraps ours: its private state cannot be given to an object that
 * its constructor did not make.
 */
const RequestClass: object = new Proxy(RequestTarget, {
  construct: (_, [input, ...rest], newTarget) => Reflect.construct(nativeClasses().Request, [unwrap(input), ...rest], newTarget) as object,
  get: (_, name) => (name === Symbol.hasInstance ? isRequest : (Reflect.get(nativeClasses().Request, name) as unknown)),
  set: (_, name, value) => Reflect.set(nativeClasses().Request, name, value),
  has: (_, name) => name in nativeClasses().Request,
  ownKeys: () => Reflect.ownKeys(nativeClasses().Request),
  getOwnPropertyDescriptor: (_, name) => Reflect.getOwnPropertyDescriptor(nativeClasses().Request, name),
  defineProperty: (own, name, descriptor) => Reflect.defineProperty(nativeClasses().Request, name, descriptor) && Reflect.defineProperty(own, name, descriptor),
  deleteProperty: (own, name) => Reflect.deleteProperty(nativeClasses().Request, name) && Reflect.deleteProperty(own, name),
})

function isRequest(this: unknown, value: unknown): boolean {
  // A class that extends `Request` inherits this.
  if (this !== RequestClass) return Function.prototype[Symbol.hasInstance].call(this as () => void, value)
  return isSluiceRequest(value) || isNativeInstance('Request', value)
}

/** These look at a response with Node's own class, which has to know ours by then. */
function linkFirst(owner: Record<string, unknown>, name: string): void {
  const original = owner[name]
  if (typeof original !== 'function') return
  const linked = (...args: unknown[]): unknown => {
    nativeClasses()
    return Reflect.apply(original, owner, args)
  }
  Object.defineProperty(owner, name, { value: Object.defineProperty(linked, 'name', { value: name }), writable: true, enumerable: true, configurable: true })
}

// Async, so that what cannot be converted rejects as the standard's own refusals do.
async function callFetch(input: RequestInfo | URL, init: RequestInit | undefined): Promise<Response> {
  return nativeFetch(unwrap(input) as RequestInfo | URL, init)
}

function unwrap(input: unknown): unknown {
  return isSluiceRequest(input) ? toNativeRequest(input) : input
}
