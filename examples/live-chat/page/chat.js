import { element, Messages } from './messages.js'

/** How long "is typing" stays, and how often it is said, in milliseconds. */
const TYPING_SHOWN = 3000
const TYPING_SAID = 2000
/** The longest wait before connecting again, in milliseconds. */
const RETRY_MAX = 10_000

const at = (id) => document.getElementById(id)
const messages = new Messages(at('messages'), () => me.name)
const me = { name: localStorage.getItem('name') ?? '', room: location.hash.slice(1) || 'lobby' }

// A name for this page, and a number for each of its messages: together an id that nobody else gives.
const page = crypto.getRandomValues(new Uint32Array(2)).join('-')
let count = 0

let socket
let opens = 0
let failures = 0
const typing = new Map()
let lastTyping = 0

/** What the server sends, by its type. */
const receive = {
  welcome({ connection, look, rooms }) {
    at('connection').dataset.id = connection
    at('version').textContent = look.version
    document.documentElement.style.setProperty('--hue', look.hue)
    at('rooms').replaceChildren(...rooms.map(roomButton))
    markRoom()
  },
  history: (frame) => messages.history(frame.messages),
  said(frame) {
    typing.delete(frame.name)
    showTyping()
    messages.add(frame)
  },
  typing({ name }) {
    typing.set(name, performance.now() + TYPING_SHOWN)
    showTyping()
    setTimeout(showTyping, TYPING_SHOWN + 50)
  },
  online({ names }) {
    at('count').textContent = names.length
    at('online').replaceChildren(...names.map((name) => element('li', name)))
  },
}

function connect() {
  messages.wait()
  const query = new URLSearchParams(me)
  socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/chat?${query}`)
  socket.addEventListener('open', () => {
    opens++
    failures = 0
    showConnection('open', opens === 1 ? 'connected' : `connected, ${opens - 1} times again`)
  })
  socket.addEventListener('message', ({ data }) => {
    const frame = JSON.parse(data)
    // Of the room that was left, something may still be on its way.
    if (frame.room === undefined || frame.room === me.room) receive[frame.type]?.(frame)
  })
  socket.addEventListener('close', () => {
    // A link may name a room that there is not; then nothing has ever opened.
    if (opens === 0) me.room = 'lobby'
    showConnection('closed', 'connecting again')
    setTimeout(connect, Math.min(250 * 2 ** failures++, RETRY_MAX) * (0.5 + Math.random() / 2))
  })
}

function showConnection(state, text) {
  Object.assign(at('connection').dataset, { state, opens })
  at('connection').querySelector('span').textContent = text
  at('composer').querySelector('button').disabled = state !== 'open'
}

function send(frame) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame))
}

function roomButton(room) {
  const button = element('button', room)
  button.dataset.room = room
  button.addEventListener('click', () => {
    location.hash = room
  })
  return button
}

function markRoom() {
  for (const button of at('rooms').children) {
    if (button.dataset.room === me.room) button.setAttribute('aria-current', 'page')
    else button.removeAttribute('aria-current')
  }
}

function enter() {
  messages.clear()
  typing.clear()
  showTyping()
  markRoom()
  send({ type: 'enter', ...me })
}

function showTyping() {
  const now = performance.now()
  for (const [name, until] of typing) if (until <= now) typing.delete(name)
  const names = [...typing.keys()].slice(0, 3)
  at('typing').textContent = names.length === 0 ? '' : `${names.join(', ')} ${names.length === 1 ? 'is' : 'are'} typing …`
}

function showScore({ home, away, score, minute, isOver, news }) {
  at('home').textContent = home
  at('away').textContent = away
  at('goals').textContent = score.join(' : ')
  at('minute').textContent = `${isOver ? 'Full time' : `${minute}′`} ·`
  at('news').textContent = news
}

addEventListener('hashchange', () => {
  const room = location.hash.slice(1) || 'lobby'
  const isKnown = [...at('rooms').children].some((button) => button.dataset.room === room)
  if (!isKnown || room === me.room) return
  me.room = room
  enter()
  at('text').focus()
})

at('composer').addEventListener('submit', (event) => {
  event.preventDefault()
  const text = at('text').value
  // What cannot be sent now stays where it was written.
  if (text.trim() === '' || socket?.readyState !== WebSocket.OPEN) return
  send({ type: 'say', id: `${page}-${++count}`, text })
  at('text').value = ''
  lastTyping = 0
})

at('text').addEventListener('input', () => {
  const now = performance.now()
  if (now - lastTyping < TYPING_SAID && lastTyping !== 0) return
  lastTyping = now
  send({ type: 'typing' })
})

at('me').addEventListener('click', () => at('who').showModal())

at('who').addEventListener('close', () => {
  const name = at('name').value.trim()
  if (name === '' && me.name === '') return at('who').showModal()
  const isNew = name !== '' && name !== me.name
  if (isNew) me.name = name
  localStorage.setItem('name', me.name)
  at('me').textContent = me.name
  at('me').hidden = false
  at('name').value = me.name
  if (!socket) connect()
  else if (isNew) enter()
  at('text').focus()
})

const scores = new EventSource('/scores')
scores.addEventListener('message', ({ data }) => showScore(JSON.parse(data)))

at('name').value = me.name
at('who').showModal()
