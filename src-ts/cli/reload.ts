import { ControlClient } from './control-client.ts'
import type { ControlAnswers } from './control-handlers.ts'
import type { ReloadFlags } from './program.ts'
import type { ExitCode } from './run.ts'
import { findState } from './state-dir.ts'

/** `sluice reload`: waits until the new code serves everywhere. Exits with 1 when it did not start; then the old code goes on. */
export async function reload({ config, only, timeout }: ReloadFlags): Promise<ExitCode> {
  const client = await ControlClient.connect((await findState(config)).socket)
  try {
    const began = performance.now()
    const { ok, rolledBack, error } = (await client.call('reload', only && { only }, timeout * 1000)) as ControlAnswers['reload']
    if (ok) {
      process.stdout.write(`Reloaded in ${Math.round(performance.now() - began)} ms\n`)
      return 0
    }
    process.stderr.write(`sluice: ${rolledBack ? 'Reload rolled back, the previous code serves again' : 'Reload failed, the old code goes on'}\n`)
    if (error) process.stderr.write(`${error.message}\n`)
    return 1
  } finally {
    client.close()
  }
}
