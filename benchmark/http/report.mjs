/** From the raw results of all rounds to the tables. */

/** The middle one; of an even number the lower middle one, so that it is always a value that was measured. */
export function median(values) {
  return [...values].sort((a, b) => a - b)[(values.length - 1) >> 1]
}

/** The round with the median CPU cost stands for the case: its columns then belong together. */
function representative(rounds) {
  const middle = median(rounds.map((round) => round.cpu))
  const chosen = rounds.find((round) => round.cpu === middle)
  return { ...chosen, errors: rounds.reduce((sum, round) => sum + round.errors, 0) }
}

const fixed = (value, digits = 2) => (Number.isFinite(value) ? value.toFixed(digits) : '–')
const millis = (micros) => (micros === null ? '–' : fixed(micros / 1000, micros < 1000 ? 3 : 2))
const ratio = (value, ours) => (ours ? `${fixed(value / ours)}×` : '–')
const mebibytes = (bytes) => fixed(bytes / 2 ** 20, 1)

/** Threads that cost less than 1 % of the request are noise: a garbage collector's helper, a timer. */
function threadColumn({ cpu, threads }) {
  return Object.entries(threads)
    .filter(([, micros]) => micros >= cpu * 0.01)
    .map(([name, micros]) => `${name} ${fixed(micros)}`)
    .join(' + ')
}

function table(head, rows) {
  return [head, head.map((_, i) => (i === 0 ? ':--' : '--:')), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')
}

const loadHead = ['peer', 'CPU µs/req', '÷ ours', 'by thread', 'req/s', '÷ ours', 'p50 ms', 'p99 ms', 'errors', 'RSS MiB']

/** @param {Map<string, import('./load-case.mjs').LoadResult[]>} byPeer */
export function loadTable(byPeer) {
  const results = [...byPeer].map(([peer, rounds]) => [peer, representative(rounds)])
  const ours = results.find(([peer]) => peer === 'sluice')?.[1]
  const rows = results.map(([peer, r]) => [
    peer,
    fixed(r.cpu),
    ratio(r.cpu, ours?.cpu),
    threadColumn(r),
    fixed(r.rps, 0),
    ratio(r.rps, ours?.rps),
    millis(r.p50),
    millis(r.p99),
    String(r.errors),
    mebibytes(r.rss)
  ])
  return table(loadHead, rows)
}

/** One number per peer: `unit` is what it is shown in, `scale` what one of those is in the measured unit. */
export function valueTable(byPeer, unit, scale) {
  const ours = byPeer.has('sluice') ? median(byPeer.get('sluice')) : undefined
  const rows = [...byPeer].map(([peer, values]) => [peer, fixed(median(values) / scale), ratio(median(values), ours)])
  return table(['peer', unit, '÷ ours'], rows)
}
