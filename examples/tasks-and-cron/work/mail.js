// Mail over a line that often fails: tried again, each time after twice the wait; one at a time, five in a second.
import { Task, server } from 'sluice'

export class SendMail extends Task {
  /** How often it has failed so far; what `handle` changes here, `finish` sees. */
  failures = 0

  constructor(to, { failing = 0 } = {}) {
    super()
    this.to = to
    this.failing = failing
  }

  handle({ attempt }) {
    this.failures = attempt - 1
    if (attempt <= this.failing) throw new Error(`451 try again later (${attempt})`)
    return `<${this.to}.${attempt}@localhost>`
  }

  finish(id) {
    server.publish('events', `mail to ${this.to} is sent as ${id}, after ${this.failures} failures`)
  }

  failed(error) {
    server.publish('events', `mail to ${this.to} is not sent: ${error.message}`)
  }
}
