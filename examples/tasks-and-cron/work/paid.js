// An order is paid: three things happen, one after the other, in one task worker.
import { Event, Listener, Task, server } from 'sluice'
import { SendMail } from './mail.js'

class CheckFraud extends Listener {
  handle({ amount, order }) {
    if (amount < 10_000) return true
    server.publish('events', `order ${order} is held back`)
    // The others do not hear of it.
    return false
  }
}

class Ship extends Listener {
  async handle({ order }) {
    await new Promise(setImmediate)
    server.publish('events', `order ${order} is shipped`)
  }
}

class ThankYou extends Listener {
  handle({ customer }) {
    // Tasks may deliver tasks.
    Task.deliver(new SendMail(customer), { queue: 'mail' })
  }
}

export class Paid extends Event {
  listeners = [CheckFraud, Ship, ThankYou]

  constructor(order, customer, amount) {
    super()
    this.order = order
    this.customer = customer
    this.amount = amount
  }
}

export { CheckFraud, Ship, ThankYou }
