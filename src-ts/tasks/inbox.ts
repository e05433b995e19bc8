import { Commands } from '../bridge/commands.ts'
import { createDrain } from '../bridge/drain.ts'
import { NO_NUMBER, RecordKind } from '../bridge/record.ts'
import type { NativeServer, NativeWorker } from '../native.ts'
import type { TaskClient } from './client.ts'

/** The role of those who get nothing by themselves. */
const ROLE = 3

/** Where a thread that is no worker hears of the tasks that it delivers. */
export interface InboxOptions {
  readonly native: Pick<NativeServer, 'activateWorker'> & NativeWorker
  readonly server: number
  /** Reserved for it. */
  readonly slot: number
  readonly client: Pick<TaskClient, 'attach' | 'detach' | 'progress' | 'result'>
  readonly report: (error: unknown) => void
}

/**
 * Attaches the calling thread to the core with lanes of its own, as workers are, but for the ends and the progress of its tasks alone. Gives what ends that; what
 * is awaited then rejects.
 */
export function openInbox({ client, native, report, server, slot }: InboxOptions): () => void {
  let drain: ReturnType<typeof createDrain> | undefined
  const memory = native.attachWorker(server, slot, () => drain?.())
  const commands = new Commands(native, memory.worker)
  drain = createDrain(commands, memory, {
    batch: () => {},
    request: () => {},
    follow: (lane, at, kind) => {
      if (kind === RecordKind.TASK_RESULT) client.result(lane, at)
      else if (kind === RecordKind.TASK_PROGRESS) client.progress(lane, at)
    },
    failed: report,
  })
  native.activateWorker(server, slot, NO_NUMBER, ROLE)
  // It starts unparked; this parks it.
  drain()
  client.attach(memory.worker)
  return () => {
    drain.stop()
    client.detach()
    commands.close()
  }
}
