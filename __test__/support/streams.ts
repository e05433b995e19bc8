/** A stream of the standard that gives these chunks, one per read. */
export function streamOf(...chunks: Uint8Array[]): ReadableStream<Uint8Array> {
  const rest = [...chunks]
  return new ReadableStream(
    {
      pull: (controller) => {
        const chunk = rest.shift()
        if (chunk === undefined) controller.close()
        else controller.enqueue(chunk)
      },
    },
    { highWaterMark: 0 },
  )
}
