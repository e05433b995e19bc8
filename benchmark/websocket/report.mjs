/** From the raw results of all rounds to the tables. */
import { fixed, mebibytes, median, millis, table, threadColumn } from '../support/figures.mjs'

/**
 * Results of one peer by the number of the round; a round that failed is missing.
 *
 * @typedef {Map<number, any>} Rounds
 */

const itself = (value) => value

/** The round with the median CPU cost stands for the case: its columns then belong together. */
function representative(rounds) {
  const results = [...rounds.values()]
  const middle = median(results.map((result) => result.cpu))
  return results.find((result) => result.cpu === middle)
}

/** The median of what the rounds say, each compared with the reference in the same round: the machine's speed cancels out. */
function ratio(rounds, reference, read) {
  const ratios = [...rounds].filter(([round]) => reference?.has(round)).map(([round, result]) => read(result) / read(reference.get(round)))
  return ratios.length > 0 ? `${fixed(median(ratios))}×` : '–'
}

const columns = [
  { head: (unit) => `CPU µs/${unit}`, read: (result) => result.cpu, write: (value) => fixed(value) },
  { head: (unit) => `${unit}s/s`.replace('ys/s', 'ies/s'), read: (result) => result.rate, write: (value) => fixed(value, 0) },
  // Of the server's core. With much less than 100 the rate is not the server's, but that of the client or of a busy machine.
  { head: () => 'busy %', read: (result) => (result.cpu * result.rate) / 1e4, write: (value) => fixed(value, 0), plain: true },
  { head: () => 'p50 ms', read: (result) => result.p50, write: millis },
  { head: () => 'p99 ms', read: (result) => result.p99, write: millis },
  { head: () => 'RSS MiB', read: (result) => result.rss, write: mebibytes }
]

/**
 * @param {Map<string, Rounds>} byPeer
 * @param {string} reference the peer that ratios refer to
 * @param {string} unit
 */
export function loadTable(byPeer, reference, unit) {
  const rows = [...byPeer].map(([peer, rounds]) => {
    const shown = representative(rounds)
    const cells = columns.flatMap(({ read, write, plain }) =>
      plain ? [write(read(shown))] : [write(read(shown)), ratio(rounds, byPeer.get(reference), read)]
    )
    return [peer, ...cells, threadColumn(shown)]
  })
  return table(['peer', ...columns.flatMap(({ head, plain }) => (plain ? [head(unit)] : [head(unit), `÷ ${reference}`])), 'CPU by thread'], rows)
}

/** @param {Map<string, Rounds>} byPeer values in bytes */
export function memoryTable(byPeer, reference) {
  const rows = [...byPeer].map(([peer, rounds]) => [
    peer,
    fixed(median([...rounds.values()]) / 1024),
    ratio(rounds, byPeer.get(reference), itself)
  ])
  return table(['peer', 'KiB', `÷ ${reference}`], rows)
}
