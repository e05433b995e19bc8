/** Lines that are kept. */
const LOG_MAX = 50

const $ = (id) => document.getElementById(id)
const rows = new Map()

const events = new EventSource('/events')
events.addEventListener('open', async () => {
  $('state').textContent = 'live'
  const online = await (await fetch('/devices')).json()
  for (const [name, row] of rows) row.device.className = online.includes(name) ? '' : 'away'
  for (const name of online) rowOf(name)
})
events.addEventListener('error', () => {
  $('state').textContent = 'reconnecting…'
})
events.addEventListener('message', ({ data }) => {
  const event = JSON.parse(data)
  log(event)
  if (event.device === undefined) return
  const row = rowOf(event.device)
  if (event.type === 'reading') row.reading.textContent = shown(event.values)
  if (event.type === 'online' || event.type === 'offline') row.device.className = event.type === 'online' ? '' : 'away'
})

/** Everything is set as text: what devices send is not to be trusted. */
function rowOf(name) {
  const known = rows.get(name)
  if (known) return known
  const [device, reading, send] = [0, 1, 2].map(() => document.createElement('td'))
  device.textContent = name
  const form = document.createElement('form')
  const input = document.createElement('input')
  input.value = '{"every": 200}'
  input.ariaLabel = `Command for ${name}`
  form.append(input)
  form.addEventListener('submit', (submit) => {
    submit.preventDefault()
    void fetch(`/devices/${name}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: input.value })
  })
  send.append(form)
  const tr = document.createElement('tr')
  tr.append(device, reading, send)
  $('devices').append(tr)
  rows.set(name, { device, reading })
  return rows.get(name)
}

function log({ type, device, from, text, values, command }) {
  const line = document.createElement('li')
  line.textContent = [type, device ?? from, text, values && shown(values), command && JSON.stringify(command)].filter(Boolean).join('  ')
  $('log').prepend(line)
  while ($('log').children.length > LOG_MAX) $('log').lastChild.remove()
}

function shown(values) {
  return Object.entries(values).map(([name, value]) => `${name} ${value}`).join(', ')
}
