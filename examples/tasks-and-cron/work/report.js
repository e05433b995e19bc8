// The nightly report: long, says how far it is, and gives up when nobody wants it any more.
import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask, server } from 'sluice'

const REGIONS = ['north', 'east', 'south', 'west']

export const report = defineTask(
  'report',
  async ({ day }, { progress, signal }) => {
    const lines = []
    for (const [index, region] of REGIONS.entries()) {
      await sleep(100, undefined, { signal })
      lines.push({ region, orders: [...region].reduce((sum, letter) => sum + letter.charCodeAt(0), day.length) })
      progress({ done: index + 1, of: REGIONS.length, region })
    }
    return { day, lines }
  },
  {
    tries: 3,
    backoff: 1000,
    timeout: 30_000,
    finish: ({ day }) => server.publish('events', `the report of ${day} is ready`),
  },
)
