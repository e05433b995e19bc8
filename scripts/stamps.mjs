/**
 * What was built from what: a stamp per build step holds one hash over its inputs and one over its
 * outputs. Contents are hashed, not times: a fresh clone, a branch switch and a copied folder all change times.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

export class Stamps {
  #root
  #file
  #stamps

  /** @param {string} root the folder that paths are relative to. @param {string} file where the stamps are kept. */
  constructor(root, file) {
    this.#root = root
    this.#file = file
    this.#stamps = read(file)
  }

  /** Whether inputs and outputs are what they were at {@link record}. Missing outputs are never fresh. */
  isFresh(step, inputs, outputs) {
    const stamp = this.#stamps[step]
    return stamp !== undefined && stamp.inputs === this.#hash(inputs) && outputs.length > 0 && stamp.outputs === this.#hash(outputs)
  }

  /** Remembers that the outputs were just made from the inputs. */
  record(step, inputs, outputs) {
    this.#stamps[step] = { inputs: this.#hash(inputs), outputs: this.#hash(outputs) }
    mkdirSync(dirname(this.#file), { recursive: true })
    writeFileSync(this.#file, JSON.stringify(this.#stamps, null, 2))
  }

  #hash(paths) {
    const hash = createHash('sha256')
    for (const path of paths) {
      for (const file of files(this.#root, path)) hash.update(`${file}\0`).update(readFileSync(join(this.#root, file))).update('\0')
    }
    return hash.digest('hex')
  }
}

/** Every file at or below a path, in a stable order; none when it does not exist. */
function files(root, path) {
  const stat = statSync(join(root, path), { throwIfNoEntry: false })
  if (!stat) return []
  if (!stat.isDirectory()) return [path]
  return readdirSync(join(root, path)).sort().flatMap((name) => files(root, `${path}/${name}`))
}

/** A stamp file that cannot be read only costs a build. */
function read(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return {}
  }
}
