// Watches the port, as the shell script of the Swoole course does with netstat every two seconds, and tells who asks.
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { server } from 'sluice'

const EVERY_MS = 2000

const state = { checks: 0, failures: 0, lastOk: 0 }

export default async function run({ onRequest, signal }) {
  onRequest(() => state)
  const { host, port } = server.port().address
  while (!signal.aborted) {
    state.checks++
    if (await listens(host, port)) state.lastOk = Date.now()
    else {
      state.failures++
      console.error(`monitor: ${host}:${port} does not answer`)
    }
    await sleep(EVERY_MS, undefined, { signal }).catch(() => undefined)
  }
}

function listens(host, port) {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 1000 })
    const done = (ok) => {
      socket.destroy()
      resolve(ok)
    }
    socket.once('connect', () => done(true)).once('error', () => done(false)).once('timeout', () => done(false))
  })
}
