/** Values looked at in one message; what is deeper or beyond counts as nothing. */
const NODES_MAX = 1_024

/** About how many bytes a message takes in memory: those of its texts, its numbers and its binary data. Never looks at more than {@link NODES_MAX} values. */
export function sizeOf(message: unknown): number {
  let bytes = 0
  const open: unknown[] = [message]
  for (let looked = 0; looked < NODES_MAX && open.length > 0; looked += 1) {
    const value = open.pop()
    if (typeof value === 'string') bytes += value.length * 2
    else if (typeof value !== 'object' || value === null) bytes += 8
    else if (ArrayBuffer.isView(value)) bytes += value.byteLength
    else if (value instanceof ArrayBuffer) bytes += value.byteLength
    else if (value instanceof Map || value instanceof Set) {
      for (const part of value) {
        if (open.length >= NODES_MAX) break
        open.push(part)
      }
    } else {
      for (const name in value) {
        if (open.length >= NODES_MAX) break
        open.push((value as Record<string, unknown>)[name])
      }
    }
  }
  return bytes
}
