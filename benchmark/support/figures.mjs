/** How figures are chosen and written in every benchmark's tables. */

/** The middle one; of an even number the lower middle one, so that it is always a value that was measured. */
export function median(values) {
  return [...values].sort((a, b) => a - b)[(values.length - 1) >> 1]
}

export const fixed = (value, digits = 2) => (Number.isFinite(value) ? value.toFixed(digits) : '–')
export const millis = (micros) => (micros === null ? '–' : fixed(micros / 1000, micros < 1000 ? 3 : 2))
export const mebibytes = (bytes) => fixed(bytes / 2 ** 20, 1)

/** Threads that cost less than 1 % of the whole are noise: a garbage collector's helper, a timer. */
export function threadColumn({ cpu, threads }) {
  return Object.entries(threads)
    .filter(([, micros]) => micros >= cpu * 0.01)
    .map(([name, micros]) => `${name} ${fixed(micros)}`)
    .join(' + ')
}

/** A Markdown table; the first column is text, the others are figures. */
export function table(head, rows) {
  return [head, head.map((_, i) => (i === 0 ? ':--' : '--:')), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')
}

/** Every round starts with another peer, so that none always has the warm or the throttled machine. */
export function rotated(list, by) {
  const first = by % list.length
  return [...list.slice(first), ...list.slice(0, first)]
}
