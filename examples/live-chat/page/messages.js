/** Most messages that the page keeps; the oldest go. */
const MESSAGES_MAX = 300

/**
 * The messages of the room that is shown. What comes before the room's history is kept until the history is there; a message
 * that is in both, or that comes again after the connection was lost, is known by its id.
 */
export class Messages {
  #list
  #me
  #held = []
  #isWaiting = true
  #ids = new Set()

  /** `me` gives the own name. */
  constructor(list, me) {
    this.#list = list
    this.#me = me
  }

  /** Another room: nothing is shown until its history comes. */
  clear() {
    this.#list.replaceChildren()
    this.#ids.clear()
    this.wait()
  }

  /** A history will come. */
  wait() {
    this.#held = []
    this.#isWaiting = true
  }

  history(messages) {
    this.#isWaiting = false
    for (const message of [...messages, ...this.#held]) this.add(message)
    this.#held = []
  }

  add(message) {
    if (this.#isWaiting) {
      this.#held.push(message)
      this.#held.splice(0, this.#held.length - MESSAGES_MAX)
      return
    }
    if (this.#ids.has(message.id)) return
    const { scrollHeight, scrollTop, clientHeight } = this.#list
    const isAtEnd = scrollHeight - scrollTop - clientHeight < 40
    this.#ids.add(message.id)
    this.#list.append(this.#item(message))
    while (this.#list.childElementCount > MESSAGES_MAX) {
      this.#ids.delete(this.#list.firstElementChild.dataset.id)
      this.#list.firstElementChild.remove()
    }
    if (isAtEnd) this.#list.scrollTop = this.#list.scrollHeight
  }

  #item({ id, name, text, at, version }) {
    const item = document.createElement('li')
    item.dataset.id = id
    item.dataset.version = version
    item.className = name === this.#me() ? 'mine' : ''
    const time = element('time', new Date(at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }))
    time.dateTime = new Date(at).toISOString()
    item.append(element('b', name), time, element('p', text))
    return item
  }
}

export function element(tag, text) {
  const made = document.createElement(tag)
  made.textContent = text
  return made
}
