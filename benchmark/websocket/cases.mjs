/**
 * What is measured. `load` cases are driven by the load client in a window, `memory` reads the server's memory.
 * `answer` is what the server does with a message, `unit` what CPU time and rate are counted in.
 *
 * @typedef {'echo' | 'broadcast'} Answer
 * @typedef {{ name: string, title: string, kind: 'load', answer: Answer, unit: string, connections: number, client: string[] }} LoadCase
 * @typedef {{ name: string, title: string, kind: 'memory', answer: Answer, connections: number }} MemoryCase
 */

const echo = (size, bytes, kind, connections) => ({
  name: `echo-${size}-${connections}`,
  title: `Echo ${bytes} B ${kind}, ${connections} connections, one message on each`,
  kind: 'load',
  answer: 'echo',
  unit: 'message',
  connections,
  client: ['echo', '--bytes', String(bytes), '--kind', kind]
})

const broadcast = (connections, inFlight) => ({
  name: `broadcast-${connections}${inFlight === 1 ? '' : `-x${inFlight}`}`,
  title: `Broadcast 64 B text to ${connections}, ${inFlight} in flight`,
  kind: 'load',
  answer: 'broadcast',
  unit: 'delivery',
  connections,
  client: ['broadcast', '--bytes', '64', '--in-flight', String(inFlight)]
})

/** @type {(LoadCase | MemoryCase)[]} */
export const cases = [
  echo('64', 64, 'text', 64),
  echo('64', 64, 'text', 1_000),
  echo('16k', 16_384, 'binary', 64),
  echo('16k', 16_384, 'binary', 1_000),
  broadcast(1_000, 1),
  broadcast(1_000, 4),
  broadcast(10_000, 1),
  {
    name: 'connect',
    title: 'Connect, handshake, reset; 64 at a time',
    kind: 'load',
    answer: 'echo',
    unit: 'handshake',
    connections: 64,
    client: ['connect']
  },
  { name: 'idle', title: 'Memory of an idle connection, 10000 open', kind: 'memory', answer: 'echo', connections: 10_000 }
]
