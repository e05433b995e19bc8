/** What one thread has without sharing anything. */
export function open() {
  const map = new Map()
  const before = used()
  return {
    setRow: (key, row) => map.set(key, { ...row }),
    getRow: (key) => map.get(key),
    getColumn: (key) => map.get(key).id,
    setColumn: (key, value) => (map.get(key).id = value),
    incr: (key) => (map.get(key).id += 1),
    memory: () => used() - before,
    close() {}
  }
}

function used() {
  globalThis.gc?.()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}
