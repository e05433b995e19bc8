/** A match has 90 minutes of five seconds each, and ten minutes of break. */
const SECONDS = 5
const MINUTES = 90
const BREAK = 10

/**
 * The score at a Unix time in seconds. It is worked out from the time alone, so a worker that starts in the middle of a match
 * knows it as well as the one it replaces.
 */
export function scoreAt(second) {
  const minutes = Math.floor(second / SECONDS)
  const match = Math.floor(minutes / (MINUTES + BREAK))
  const minute = minutes % (MINUTES + BREAK)
  const goals = Array.from({ length: Math.min(minute, MINUTES) }, (_, i) => ({ minute: i + 1, side: sideThatScores(match, i + 1) })).filter(({ side }) => side)
  const count = (side) => goals.filter((goal) => goal.side === side).length
  const last = goals.at(-1)
  const news = last ? `last goal: ${last.side}, ${last.minute}′` : 'no goals yet'
  return { second, minute: Math.min(minute, MINUTES), isOver: minute >= MINUTES, home: 'Harbour', away: 'Rovers', score: [count('Harbour'), count('Rovers')], news }
}

function sideThatScores(match, minute) {
  // Any mixing will do: the match must only look like one.
  const dice = Math.imul(Math.imul(match, 0x9e3779b1) ^ Math.imul(minute, 0x85ebca6b), 0xc2b2ae35) >>> 16
  if (dice % 64 === 0) return 'Harbour'
  return dice % 64 === 1 ? 'Rovers' : undefined
}
