// The example that `npm start` runs: a chat with rooms over one WebSocket per page, and a live score as server-sent events beside it.
import { join } from 'node:path'

import { defineApp, defineWebSocket, server } from 'sluice'

import { asset } from './assets.js'
import { everySecond } from './clock.js'
import { crash } from './crash.js'
import { folder } from './folder.js'
import { person, readFrame, rooms } from './frames.js'
import { History } from './history.js'
import { scoreAt } from './match.js'

// Change this, run `npx sluice reload`, and watch the open pages: they change, their connections do not.
const look = { version: 'v1', hue: 200 }

/** Most connections that "who is online" looks at. */
const PEOPLE_MAX = 500
/** How often everybody is told anew who is online, in seconds: two workers that tell it at once may do so in the wrong order. */
const ONLINE_EVERY = 5

const history = new History(join(folder, 'history'))

const chat = defineWebSocket({
  path: '/chat',
  options: { maxPayload: 8 * 1024 },

  upgrade(req, ctx) {
    const state = person(Object.fromEntries(ctx.url.searchParams))
    return state ? { state } : new Response(`A name of 1 to 24 characters, and one of the rooms ${rooms.join(', ')}\n`, { status: 400 })
  },

  open(ws) {
    welcome(ws)
    arrive(ws)
  },

  // This worker has it from one that left or died. Name, room and subscription are kept by the core; only the code is new.
  adopt: welcome,

  message(ws, data) {
    const { name, room } = ws.state
    const frame = readFrame(data)
    switch (frame?.type) {
      case 'say':
        if (!crash(frame.text)) say({ ...ws.state, id: frame.id, text: frame.text })
        break
      case 'typing':
        ws.publish(topic(room), JSON.stringify({ type: 'typing', room, name }))
        break
      case 'enter':
        ws.unsubscribe(topic(room))
        ws.state = frame.person
        arrive(ws)
        if (ws.state.room !== room) tellWhoIsIn(room)
        break
      default:
        ws.close(1008, 'Not a message of this chat')
    }
  },

  close(ws) {
    tellWhoIsIn(ws.state.room)
  },
})

// Every worker has the clock, and each second belongs to one of them: also while others reload, hang or die.
server.on('workerStart', () => {
  everySecond(server.signal, (second) => {
    server.publish('scores', JSON.stringify(scoreAt(second)), { retain: true })
    if (second % ONLINE_EVERY === 0) rooms.forEach(tellWhoIsIn)
  })
})

export default defineApp({
  websocket: chat,
  fetch(req, ctx) {
    if (req.method !== 'GET' && req.method !== 'HEAD') return new Response(null, { status: 405, headers: { allow: 'GET, HEAD' } })
    if (ctx.url.pathname === '/scores') return ctx.sse({ topics: ['scores'], retry: 1000 }).response
    return asset(ctx.url.pathname) ?? new Response('Nothing is here\n', { status: 404 })
  },
})

function welcome(ws) {
  ws.send(JSON.stringify({ type: 'welcome', connection: ws.id, look, rooms }))
}

/** Subscribes before it reads what was said, so that nothing falls between the two. */
function arrive(ws) {
  const { name, room } = ws.state
  ws.bind(name)
  ws.subscribe(topic(room))
  ws.send(JSON.stringify({ type: 'history', room, messages: history.last(room) }))
  tellWhoIsIn(room)
}

/** First the history, then the room: who arrives in between finds the message in one of them, or in both, and knows it by its id. */
function say(words) {
  const message = { type: 'said', ...words, at: Date.now(), version: look.version }
  history.append(message)
  server.publish(topic(words.room), JSON.stringify(message))
}

/** The core knows who is there, whatever happens to workers; no list is kept that could be wrong. */
function tellWhoIsIn(room) {
  const people = server.connections.list(0, PEOPLE_MAX).map((id) => server.getConnection(id))
  const names = new Set(people.filter((info) => info?.uid && info.topics.includes(topic(room))).map(({ uid }) => uid))
  server.publish(topic(room), JSON.stringify({ type: 'online', room, names: [...names].sort() }))
}

function topic(room) {
  return `room:${room}`
}
