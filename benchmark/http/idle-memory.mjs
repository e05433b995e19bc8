/** What an open connection and a further worker cost in resident memory. */
import { connect } from 'node:net'
import { once } from 'node:events'
import { ServerProcess } from '../support/server-process.mjs'
import { residentBytes } from '../support/threads.mjs'
import { wrk } from './wrk.mjs'

const idleConnections = 5_000
const openAtOnce = 200
const request = 'GET / HTTP/1.1\r\nhost: localhost\r\n\r\n'

/**
 * Bytes of server memory per keep-alive connection that has had one answer. The server is warmed up with load
 * first, so that its heap has its working size and the growth is the connections'.
 */
export async function idleConnectionBytes(peer) {
  const server = await ServerProcess.start(peer)
  const sockets = []
  try {
    await wrk(`${server.url}/`, { connections: 64, seconds: 2, core: undefined, load: 'plain' })
    const before = residentBytes(server.pid)
    while (sockets.length < idleConnections) {
      sockets.push(...(await Promise.all(Array.from({ length: openAtOnce }, () => answeredSocket(server.port)))))
    }
    return (residentBytes(server.pid) - before) / idleConnections
  } finally {
    for (const socket of sockets) socket.destroy()
    await server.stop()
  }
}

async function answeredSocket(port) {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  // The server may close what it likes once the figure is taken; only the first answer is waited for.
  socket.on('error', () => {})
  await once(socket, 'connect')
  socket.write(request)
  await once(socket, 'data', { signal: AbortSignal.timeout(10_000) })
  return socket
}

/** Bytes a worker adds: the difference between a server with one worker and one with three, both warmed up, halved. */
export async function workerBytes(one, three) {
  return ((await warmBytes(three)) - (await warmBytes(one))) / (three.workers - one.workers)
}

async function warmBytes(peer) {
  const server = await ServerProcess.start(peer)
  try {
    await wrk(`${server.url}/`, { connections: 64, seconds: 2, core: undefined, load: 'plain' })
    return residentBytes(server.pid)
  } finally {
    await server.stop()
  }
}
