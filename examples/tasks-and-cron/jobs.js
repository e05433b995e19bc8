// What happens at its times. The cron worker runs it; what is long it gives to the task workers.
import { defineCron } from 'sluice'
import { report } from './work/report.js'
import { pushScores } from './work/scores.js'

export const jobs = [
  defineCron({
    name: 'nightly-report',
    cron: '0 3 * * *',
    timeZone: 'Europe/Berlin',
    missed: 'once',
    // One report of a day, whoever asks for it.
    run: ({ plannedAt }) => report.run({ day: plannedAt.toISOString().slice(0, 10) }, { key: 'nightly' }),
  }),
  defineCron({ name: 'scores', every: 1000, immediate: true, run: () => pushScores.run() }),
]
