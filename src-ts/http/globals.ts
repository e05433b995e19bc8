import { NativeRequest, nativeFetch } from './native-classes.ts'
import { isSluiceRequest, toNativeRequest } from './request.ts'
import { SluiceResponse } from './response.ts'

let isInstalled = false

/**
 * Puts our `Response` in the place of the global one, and lets `new Request(req)` and `fetch(req)` take our requests.
 * Idempotent; once per thread.
 *
 * `Request` stays Node's own class behind a proxy that unwraps ours: its private state cannot be given to an object that
 * its constructor did not make.
 */
export function installGlobals(): void {
  if (isInstalled) return
  isInstalled = true
  install('Response', SluiceResponse, false)
  install('Request', new Proxy(NativeRequest, { construct: (target, args, newTarget) => Reflect.construct(target, [unwrap(args[0]), ...args.slice(1)], newTarget) as object }), false)
  install('fetch', (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => callFetch(input, init), true)
}

function install(name: string, value: unknown, enumerable: boolean): void {
  Object.defineProperty(globalThis, name, { value, writable: true, enumerable, configurable: true })
}

// Async, so that what cannot be converted rejects as the standard's own refusals do.
async function callFetch(input: RequestInfo | URL, init: RequestInit | undefined): Promise<Response> {
  return nativeFetch(unwrap(input) as RequestInfo | URL, init)
}

function unwrap(input: unknown): unknown {
  return isSluiceRequest(input) ? toNativeRequest(input) : input
}
