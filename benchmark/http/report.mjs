/** From the raw results of all rounds to the tables. */
import { fixed, mebibytes, median, millis, table, threadColumn } from '../support/figures.mjs'

/** The round with the median CPU cost stands for the case: its columns then belong together. */
function representative(rounds) {
  const middle = median(rounds.map((round) => round.cpu))
  const chosen = rounds.find((round) => round.cpu === middle)
  return { ...chosen, errors: rounds.reduce((sum, round) => sum + round.errors, 0) }
}

const ratio = (value, ours) => (ours ? `${fixed(value / ours)}×` : '–')

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
