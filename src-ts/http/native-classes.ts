/**
 * The classes and functions of the Fetch standard as Node has them.
 *
 * Taken once, before user code runs and before {@link installGlobals} puts ours in their place.
 */
export const NativeRequest: typeof Request = globalThis.Request
export const NativeResponse: typeof Response = globalThis.Response
export const NativeHeaders: typeof Headers = globalThis.Headers
export const nativeFetch: typeof fetch = globalThis.fetch
