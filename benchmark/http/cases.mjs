/**
 * What is measured. `load` cases drive wrk; `connections` is wrk's, `pinned` puts server and client on different
 * cores. A peer without `routes` (the floors) answers only the cases without a `path`.
 *
 * @typedef {{ name: string, title: string, kind: 'load', connections: number, pinned: boolean, path: string, load: 'plain' | 'pipelined' | 'post' | 'headers' }} LoadCase
 * @typedef {{ name: string, title: string, kind: 'memory' | 'start' }} OtherCase
 */

const load = (name, title, connections, more = {}) => ({
  name,
  title,
  kind: 'load',
  connections,
  pinned: true,
  path: '/',
  load: 'plain',
  ...more
})

const hello = [1, 8, 64, 512].map((n) => load(`hello-${n}`, `GET hello, ${n} connections, pinned`, n))
const unpinned = [1, 8, 64, 512].map((n) =>
  load(`unpinned-${n}`, `GET hello, ${n} connections, unpinned`, n, { pinned: false })
)

/** @type {(LoadCase | OtherCase)[]} */
export const cases = [
  ...hello,
  ...unpinned,
  load('pipelined', 'GET hello, pipelined 16, 64 connections, pinned', 64, { load: 'pipelined' }),
  load('post', 'POST 1 KiB echo, 64 connections, pinned', 64, { load: 'post', path: '/echo' }),
  load('headers', '8 request headers, two read, 64 connections, pinned', 64, { load: 'headers', path: '/headers' }),
  load('async', 'Async handler, 64 connections, pinned', 64, { path: '/async' }),
  load('json', 'Response.json, 64 connections, pinned', 64, { path: '/json' }),
  { name: 'idle', title: 'Memory of an idle keep-alive connection', kind: 'memory' },
  { name: 'worker-memory', title: 'Memory added by one worker', kind: 'memory' },
  { name: 'cold-start', title: 'Cold start: from spawn to the first answer', kind: 'start' }
]
