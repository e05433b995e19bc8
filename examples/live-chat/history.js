import { appendFileSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** Where a new file is begun, in bytes; two are kept. */
const FILE_BYTES = 256 * 1024
/** How many messages of a room are shown to who enters it, and how old they may be, in milliseconds. */
const MESSAGES = 50
const AGE = 10 * 60_000

/**
 * What was said in all rooms during the last minutes, one line of JSON each. All workers append to the same numbered files,
 * and a message is written before its handler returns: it survives every way for a worker to end.
 */
export class History {
  #folder

  constructor(folder) {
    this.#folder = folder
    mkdirSync(folder, { recursive: true })
  }

  append(message) {
    const numbers = this.#numbers()
    const newest = numbers.at(-1) ?? 0
    const isFull = sizeOf(this.#path(newest)) >= FILE_BYTES
    // Two workers that find it full begin the same next file, and remove the same old ones.
    if (isFull) for (const old of numbers) if (old < newest) rmSync(this.#path(old), { force: true })
    appendFileSync(this.#path(isFull ? newest + 1 : newest), `${JSON.stringify(message)}\n`)
  }

  /** The last messages of a room, the oldest first. */
  last(room) {
    const since = Date.now() - AGE
    const lines = this.#numbers().flatMap((number) => linesOf(this.#path(number)))
    return lines.filter((message) => message.room === room && message.at >= since).slice(-MESSAGES)
  }

  #numbers() {
    return readdirSync(this.#folder).filter((name) => /^\d{1,9}\.jsonl$/.test(name)).map((name) => Number.parseInt(name)).sort((a, b) => a - b)
  }

  #path(number) {
    return join(this.#folder, `${number}.jsonl`)
  }
}

function sizeOf(path) {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}

/** Another worker may just have removed the file; a line that is no JSON was cut off by a full disk or a power failure. */
function linesOf(path) {
  let text = ''
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if (error.code !== 'ENOENT') throw error
  }
  return text.split('\n').flatMap((line) => {
    try {
      return [JSON.parse(line)]
    } catch {
      return []
    }
  })
}
