/** Tells those who wait that a slow peer has read on. */
export class DrainSignal {
  #isSlow = false
  #waiting: (() => void)[] = []

  /** More waits to be sent than should: the core tells when it has been. */
  slow(): void {
    this.#isSlow = true
  }

  /** The peer has read on, or never will. */
  release(): void {
    this.#isSlow = false
    const waiting = this.#waiting
    if (waiting.length === 0) return
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }

  /** Resolves when sending may go on, also because nothing can be sent any more. Rejects with the reason of `signal`, and for nothing else. */
  async wait(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    if (!this.#isSlow) return
    await new Promise<void>((resolve, reject) => {
      const done = (): void => {
        signal?.removeEventListener('abort', give)
        resolve()
      }
      const give = (): void => {
        this.#waiting = this.#waiting.filter((one) => one !== done)
        reject(signal!.reason as Error)
      }
      this.#waiting.push(done)
      signal?.addEventListener('abort', give, { once: true })
    })
  }
}
