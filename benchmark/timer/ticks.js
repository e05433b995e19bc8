/** The worker of the benchmark: notes when its timers run. Commands and results are messages. */
import { defineTask, server } from '../../dist/index.js'

const now = () => performance.now()
let times = []
let tick = () => times.push(now())
const note = defineTask('note', () => tick())

const runs = {
  /** One repeating timer for `ms`: when it ran. */
  async every({ ms, interval, shared }) {
    times = []
    tick = () => times.push(now())
    const local = shared ? undefined : setInterval(tick, interval)
    if (shared) server.timer.every('every', interval, note.call())
    await new Promise((resolve) => setTimeout(resolve, ms))
    if (shared) server.timer.clear('every')
    clearInterval(local)
    return times
  },
  /** One-shot timers, one after the other: how long each took. */
  async after({ count, interval, shared }) {
    const took = []
    for (let round = 0; round < count; round++) {
      const began = now()
      await new Promise((resolve) => {
        tick = resolve
        if (shared) server.timer.after('after', interval, note.call())
        else setTimeout(resolve, interval)
      })
      took.push(now() - began)
    }
    return took
  },
  /** Timers that never run: milliseconds to set and clear them all. */
  async churn({ count, shared }) {
    const call = note.call()
    const began = now()
    for (let round = 0; round < count; round++) {
      if (shared) {
        server.timer.after('churn', 60_000, call)
        server.timer.clear('churn')
      } else clearTimeout(setTimeout(tick, 60_000))
    }
    return [now() - began]
  }
}

server.on('message', async (_from, { run, ...options }) => server.postMessage('main', await runs[run](options)))

export default () => new Response('ok')
