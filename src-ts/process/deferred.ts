/** A promise that others settle: `Promise.withResolvers`, which Node.js 20 does not have. */
export class Deferred<T = void> {
  readonly promise: Promise<T>
  declare resolve: (value: T) => void
  declare reject: (reason: unknown) => void

  constructor() {
    this.promise = new Promise<T>((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
  }
}
