import type { Exchange } from './exchange.ts'
import type { HeaderBlock } from './header-block.ts'

/**
 * A body that is none: the answer gives the connection to something that outlives the exchange, a WebSocket or an event stream.
 *
 * It stands where a body does, so that sending any other answer costs nothing for it.
 */
export abstract class Takeover {
  /**
   * Sends the answer. Gives a promise when the exchange is not over with it: it resolves when that is.
   *
   * @throws what makes the answer unsendable, before anything was sent
   */
  abstract take(exchange: Exchange, block: HeaderBlock): Promise<void> | undefined
}
