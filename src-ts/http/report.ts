/** Where in a request's life an error came up. `bridge`: outside any request, a bug of ours. */
export type Phase = 'requestReceived' | 'fetch' | 'responseGenerated' | 'error' | 'send' | 'after' | 'cleaner' | 'waitUntil' | 'websocket' | 'tcp' | 'udp' | 'task' | 'bridge'

/** What a report says of the request. */
export interface RequestSummary {
  /** The id that the error answer shows, too. */
  readonly id: string
  readonly method: string
  readonly url: string
}

/** Takes an error that no handler has taken. The worker lives on. `task`: the name of the task that it is about. */
export type Report = (error: unknown, phase: Phase, request?: RequestSummary, task?: string) => void
