import { Lines } from './lines.ts'
import type { ProcessOutput } from './spec.ts'

/** Lines of one stream that are not dealt with yet; who writes more waits. */
const LINES_OPEN_MAX = 1_024

/** Takes a line; a promise settles when it is dealt with. Does not throw or reject. */
export type OutputTaker = (output: ProcessOutput) => Promise<void> | void

/** Reads a stream of text line by line, no faster than the lines are dealt with. */
export function readLines(stream: NodeJS.ReadableStream | null, take: (line: string) => Promise<void> | void): void {
  let open = 0
  const lines = new Lines((line) => {
    const taken = take(line)
    if (taken === undefined) return
    open += 1
    if (open === LINES_OPEN_MAX) stream?.pause()
    void taken.then(() => {
      open -= 1
      if (open === LINES_OPEN_MAX / 2) stream?.resume()
    })
  })
  stream?.on('data', (chunk: Buffer) => lines.write(chunk))
  stream?.on('error', () => {})
  stream?.on('end', () => lines.end())
}
