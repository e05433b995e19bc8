/** Sends every packet back. */
export default {
  ports: { echo: { packet: (data, peer) => void peer.reply(data) } }
}
