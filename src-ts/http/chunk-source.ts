/** A body that is read piece by piece. */
export interface ChunkSource {
  next(): Promise<{ done?: boolean | undefined; value?: unknown }>
  /** Nobody wants the rest. Never throws; a read under way may stay open. */
  cancel(reason: unknown): void
}

/** Reads a stream of the standard. @throws TypeError when it is locked */
export function fromStream(stream: ReadableStream<unknown>): ChunkSource {
  const reader = stream.getReader()
  return {
    next: () => reader.read(),
    // A source that fails to stop has nobody left to tell.
    cancel: (reason) => void reader.cancel(reason).catch(() => undefined),
  }
}

/** Reads any async iterable; a Node stream is destroyed when nobody wants the rest. */
export function fromIterable(iterable: AsyncIterable<unknown>): ChunkSource {
  const iterator = iterable[Symbol.asyncIterator]()
  return {
    next: () => iterator.next(),
    cancel: (reason) => {
      // A Node stream's iterator waits for its next chunk before it returns; destroy() does not.
      if (isDestroyable(iterable)) iterable.destroy()
      void (async () => iterator.return?.(reason))().catch(() => undefined)
    },
  }
}

function isDestroyable(value: object): value is { destroy(): void } {
  return 'destroy' in value && typeof value.destroy === 'function'
}
