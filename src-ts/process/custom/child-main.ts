/**
 * The entry of a custom process that is a Node.js process of its own. What it has of its server is the channel to the master;
 * it ends with that.
 */
import { sluiceError } from '../../errors.ts'
import { within, systemClock } from '../clock.ts'
import { toRecord } from '../error-record.ts'
import { Lifecycle } from '../lifecycle.ts'
import { loadFunctions } from '../load-app.ts'
import { MasterLink } from '../master-link.ts'
import { notCloneable } from '../messages.ts'
import { enter } from '../running.ts'
import { tellErrors } from '../tell-errors.ts'
import type { ChildBoot } from './child-boot.ts'
import { remoteServer } from './remote-server.ts'
import { loadProcess, RunningProcess } from './run-process.ts'

process.once('message', (first) => {
  // Written by `child-runner.ts` of this very version, the only code that starts this entry.
  const { boot } = first as { boot: ChildBoot }
  const link = new MasterLink({
    on: (_event, listener) => process.on('message', listener),
    postMessage: (message) => {
      try {
        process.send?.(message)
      } catch (error) {
        // The channel has ended, and so does this process; what cannot be copied is the caller's fault.
        if (process.connected) throw error
      }
    },
  })
  const lifecycle = new Lifecycle(boot.id)
  const leaving = new AbortController()
  let custom: RunningProcess | undefined
  // Its master is gone, however that ended.
  process.on('disconnect', () => process.exit(1))
  tellErrors(link, lifecycle)
  link.open((message) => {
    switch (message.type) {
      case 'drain':
        leaving.abort(sluiceError('ERR_SLUICE_SHUTTING_DOWN', `The process "${boot.name}" is leaving (${message.reason})`))
        custom?.leave(message.reason === 'reload' ? 'reload' : 'stop')
        break
      case 'stop':
        void within(systemClock, message.timeout, custom?.settled() ?? Promise.resolve()).then(() => {
          link.tell({ type: 'stopped' })
          end(0)
        })
        break
      case 'ask':
        custom?.answer(message)
        break
      case 'message':
        void lifecycle.tell('message', message.from, message.data)
        break
    }
  })
  const start = async (): Promise<void> => {
    const server = await remoteServer(boot, link, lifecycle, leaving.signal)
    enter(server)
    const code = await loadProcess(boot, async () => (await loadFunctions(boot))?.processes)
    custom = new RunningProcess({
      boot,
      code,
      server,
      asker: link,
      tell: (message) => {
        try {
          link.tell(message)
        } catch (cause) {
          throw notCloneable(cause)
        }
      },
      report: (error) => lifecycle.report(error, 'process'),
    })
    link.tell({ type: 'ready' })
    custom.start().then(
      () => end(0),
      (error: unknown) => {
        link.tell({ type: 'fatal', reason: 'throw', error: toRecord(error) })
        end(1)
      },
    )
  }
  start().catch((error: unknown) => {
    link.tell({ type: 'start-failed', error: toRecord(error) })
    end(1)
  })
})

/** Ends the process when everything before has been sent. */
function end(code: number): void {
  if (!process.connected || process.send === undefined) process.exit(code)
  process.send({ type: 'bye' }, () => process.exit(code))
}
