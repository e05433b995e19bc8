import { type App, resolveApp, type RuntimeOptions, startRuntime, type WorkerRuntime } from '../../src-ts/app.ts'
import type { Phase, RequestSummary } from '../../src-ts/http/report.ts'
import { handledPorts } from '../../src-ts/port-handlers.ts'
import { FakeNative } from './fake-native.ts'

/** An error that reached the report. */
export interface Reported {
  readonly error: unknown
  readonly phase: Phase
  readonly request: RequestSummary | undefined
}

/** A runtime of its own for one test, on a core that is not there. */
export interface FakeWorker {
  readonly native: FakeNative
  readonly runtime: WorkerRuntime
  readonly reports: Reported[]
}

/** Starts `app` on a fake core. */
export function startFakeWorker(
  app: App | NonNullable<App['fetch']>,
  { lanes, ringBytes, native = new FakeNative({ ...(lanes !== undefined && { lanes }), ...(ringBytes !== undefined && { ringBytes }) }), bodyBytes = 1024 * 1024, ...options }: Partial<Pick<RuntimeOptions, 'hooks' | 'cleaners'>> & { lanes?: number; ringBytes?: number; native?: FakeNative; bodyBytes?: number } = {},
): FakeWorker {
  const reports: Reported[] = []
  const runtime = startRuntime({
    native,
    server: 0,
    slot: 0,
    ports: [{ bodyBytes }],
    handled: handledPorts(resolveApp(app), [{ name: 'main', protocol: 'http' }]),
    worker: { id: 4, kind: 'worker', name: 'sluice-w4', version: 'v9', threadId: 1, status: 'idle' },
    report: (error, phase, request) => void reports.push({ error, phase, request }),
    ...options,
  })
  return { native, runtime, reports }
}
