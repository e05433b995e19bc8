/** What is measured: `peers` clients, each with `window` packets of `bytes` on their way. */
const echo = (peers, window, bytes) => ({
  name: `echo-${peers}-${window}-${bytes}`,
  title: `Echo of ${bytes} bytes, ${peers} ${peers === 1 ? 'peer' : 'peers'} with ${window} on their way`,
  peers,
  window,
  bytes
})

export const cases = [echo(1, 1, 64), echo(1, 64, 64), echo(64, 1, 64), echo(16, 16, 64), echo(16, 16, 1400)]
