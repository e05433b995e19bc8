const query = new URLSearchParams(location.search)
const uid = query.get('uid') ?? `guest-${crypto.randomUUID().slice(0, 4)}`
const room = query.get('room') ?? 'lobby'

const log = document.querySelector('#log')
const socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/presence?${new URLSearchParams({ uid, room })}`)

socket.addEventListener('message', ({ data }) => {
  const event = JSON.parse(data)
  if (event.type === 'welcome') show(`You are ${event.uid}; online: ${event.online.map(({ uid: name, pages }) => `${name} (${pages})`).join(', ')}`)
  if (event.type === 'said') show(`${event.uid}: ${event.text}`)
  if (event.type === 'slow-down') show(`Too fast: again in ${Math.ceil(event.retryAfter)} ms`)
})
socket.addEventListener('close', () => show('The connection is closed'))

new EventSource('/counts').addEventListener('message', ({ data }) => {
  const { people, pages, rooms } = JSON.parse(data)
  document.querySelector('#counts').textContent = `${people} people with ${pages} pages: ${Object.entries(rooms)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ')}`
})

document.querySelector('#say').addEventListener('submit', (event) => {
  event.preventDefault()
  const text = document.querySelector('#text')
  if (text.value !== '') socket.send(text.value)
  text.value = ''
})

function show(line) {
  log.append(document.createElement('br'), line)
  log.scrollTop = log.scrollHeight
}
