/** Longest line that is kept; of a longer one the rest is dropped. */
const LINE_BYTES_MAX = 64 * 1024

/** Splits the output of a process into lines of text, whatever the pieces it comes in. */
export class Lines {
  readonly #take: (line: string) => void
  #parts: Buffer[] = []
  #length = 0

  constructor(take: (line: string) => void) {
    this.#take = take
  }

  write(chunk: Buffer): void {
    let start = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      this.#keep(chunk.subarray(start, end))
      this.end(true)
      start = end + 1
    }
    this.#keep(chunk.subarray(start))
  }

  /** Takes what is there as a line; without `isLine` only if there is something. */
  end(isLine = false): void {
    if (!isLine && this.#length === 0) return
    const line = Buffer.concat(this.#parts)
    this.#parts = []
    this.#length = 0
    this.#take(line.toString('utf8', 0, line.at(-1) === 13 ? line.length - 1 : line.length))
  }

  #keep(part: Buffer): void {
    const room = LINE_BYTES_MAX - this.#length
    if (room <= 0 || part.length === 0) return
    this.#parts.push(part.subarray(0, room))
    this.#length += Math.min(part.length, room)
  }
}
