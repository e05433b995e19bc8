// Live scores: a task worker pushes to every page, in whichever worker it is.
import { defineTable, defineTask, server, t } from 'sluice'

export const scores = defineTable('scores', { size: 16, columns: { home: t.int(), away: t.int() } })

export const pushScores = defineTask('push-scores', () => {
  for (const match of ['lions-bears', 'hawks-wolves']) scores.incr(match, Math.random() < 0.5 ? 'home' : 'away')
  return server.publish('scores', JSON.stringify(Object.fromEntries(scores)), { retain: true })
})
