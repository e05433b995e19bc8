// Before anything else is loaded: to a SIGUSR1 without a listener Node answers by opening its inspector. Until the server
// runs there is nothing to reload, so the signal means nothing; `process/signals.ts` gives it its meaning later.
process.on('SIGUSR1', () => {})
closeUnaskedInspector()
// What arrived while Node itself was starting may take effect only in the next turn of the loop.
setImmediate(closeUnaskedInspector)

const { run } = await import('./run.ts')
process.exitCode = await run(process.argv.slice(2))

/** Closes an inspector that a signal has opened, not one that was asked for. */
function closeUnaskedInspector(): void {
  const inspector = process.getBuiltinModule('node:inspector')
  const isAskedFor = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''].some((option) => /--inspect(?!-port|-publish-uid)/.test(option))
  if (!isAskedFor && inspector.url() !== undefined) inspector.close()
}
