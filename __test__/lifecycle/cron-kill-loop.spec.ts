import { readFileSync, writeFileSync } from 'node:fs'
import test from 'ava'

import { AppFolder, next, startServer } from '../support/server.ts'

const ROUNDS = 12
const EVERY = 10

/** A run writes its line with one call: it is there or not, also when the worker ends behind it. */
const jobs = (sluice: string, log: string, generation: number): string => `
import { appendFileSync } from 'node:fs'
import { defineCron, server } from '${sluice}'
export const tick = defineCron({ name: 'tick', every: ${EVERY}, run: ({ tick, plannedAt }) => appendFileSync('${log}', tick + ' ' + plannedAt.getTime() + '\\n') })
export const other = defineCron({ name: 'other ${generation}', every: 3_600_000, immediate: true, run() {} })
server.on('message', (from, how) => {
  if (how === 'exit') process.exit(3)
  if (how === 'throw') setTimeout(() => { throw new Error('outside') })
})
`

test('through crashes and reloads a job keeps its phase, and no run of it comes twice', async (t) => {
  const folder = await AppFolder.create(t)
  const log = folder.path('log')
  const write = (generation: number): void => writeFileSync(folder.path('jobs.mjs'), jobs(import.meta.resolve('sluice'), log, generation))
  writeFileSync(log, '')
  write(0)
  const server = await startServer(t, { app: await folder.write(`export default () => new Response('ok')`), workers: 1, cron: { files: folder.path('*.mjs') }, reload: { rollback: false } })
  const lines = (): number[][] => readFileSync(log, 'utf8').split('\n').slice(0, -1).map((line) => line.split(' ').map(Number))
  const grow = async (count: number): Promise<void> => {
    const end = Date.now() + 20_000
    for (const more = lines().length + count; lines().length < more; ) {
      if (Date.now() > end) throw new Error(`waited 20 s for ${more} runs, there are ${lines().length}`)
      await new Promise(setImmediate)
    }
  }
  for (let round = 1; round <= ROUNDS; round += 1) {
    await grow(1 + (round % 3))
    if (round % 3 === 0) {
      write(round)
      t.true((await server.reload({ only: ['cron'] })).ok)
      t.deepEqual(server.cron.list().map(({ name }) => name).sort(), [`other ${round}`, 'tick'])
    } else {
      const again = next(server, 'workerStart', ({ kind }) => kind === 'cron')
      server.postMessage(1, round % 3 === 1 ? 'exit' : 'throw')
      await again
    }
  }
  await grow(3)
  const seen = lines()
  const { runs, failures, skipped, missedRuns } = server.cron.list().find(({ name }) => name === 'tick')!
  t.is(new Set(seen.map(([tick]) => tick)).size, seen.length)
  t.is(new Set(seen.map(([, planned]) => planned)).size, seen.length)
  const [[, first = 0] = []] = seen
  // To the millisecond that the two clocks differ by in rounding.
  for (const [, planned = 0] of seen) t.true([0, 1, EVERY - 1].includes((((planned - first) % EVERY) + EVERY) % EVERY), `${planned - first}`)
  // Each of its times was run, or counted as one that was not.
  const times = Math.round((Math.max(...seen.map(([, planned = 0]) => planned)) - first) / EVERY) + 1
  t.true(runs + skipped + missedRuns >= times - 1, `${runs} runs, ${skipped} skipped, ${missedRuns} missed of ${times}`)
  // A run that its worker took with it has written its line or not; no other is without one.
  t.true(seen.length >= runs - failures - 1, `${seen.length} lines of ${runs} runs, ${failures} failed`)
})
