/**
 * The calls of the native core that a process of its own makes by its master. The core of the server is memory of the master: what threads call
 * directly, a process has called there. Both ends go by this list.
 */
import type { Native, NativeCron, NativePush, NativeStores, NativeTasks, NativeTimers, NativeWaits } from '../../native.ts'

/** What stands before the arguments of the process: the server, and the calling thread's attachment. */
type Before = 'nothing' | 'server' | 'server and worker'

export const passedOn = {
  publish: 'server and worker',
  broadcast: 'server and worker',
  pushTo: 'server and worker',
  closeById: 'server and worker',
  kick: 'server and worker',
  sendTo: 'server and worker',
  connectionById: 'server and worker',
  bindUidById: 'server',
  connectionKind: 'server',
  connectionIds: 'server',
  connectionCount: 'server',
  channelSize: 'server',
  pauseAccept: 'server',
  portStats: 'server',
  setTimer: 'server',
  clearTimer: 'server',
  clearTimers: 'server',
  hasTimer: 'server',
  timerInfo: 'server',
  timerNames: 'server',
  cancelTask: 'server',
  taskStatus: 'server',
  taskList: 'server',
  retryTask: 'server',
  forgetTask: 'server',
  stopCron: 'server',
  runCron: 'server',
  cronList: 'server',
  openCache: 'nothing',
  cacheStats: 'nothing',
  cacheClear: 'nothing',
  cacheGet: 'nothing',
  cacheSet: 'nothing',
  cacheDelete: 'nothing',
  cacheHas: 'nothing',
  openRateLimit: 'nothing',
  rateTake: 'nothing',
  atomicWake: 'nothing',
} as const satisfies Partial<Record<keyof Native, Before>>
export type PassedOn = keyof typeof passedOn

/** How many arguments the process leaves out. */
export function countBefore(name: PassedOn): number {
  const before: Before = passedOn[name]
  return before === 'nothing' ? 0 : before === 'server' ? 1 : 2
}

/** Those that need more than passing on, because the master answers for them later, or has to give back what they take. */
export const ownCalls = ['lockAcquire', 'lockEnd', 'atomicWait', 'atomicCancel', 'submitTask', 'takeParcel', 'atomicMark', 'stats', 'health'] as const
export type OwnCall = (typeof ownCalls)[number]

/** Those that are of the process itself: its mailbox, memory in common, what begins or ends with another one. */
type Local = 'openMailbox' | 'holdMailbox' | 'takeMail' | 'atomicMemory' | 'atomicCell' | 'setCron' | 'prepareTask' | 'submitPrepared'

/** Calls for every thread of a server that have no place in any of these lists: there must be none, or they would ask a core that is not there. */
type Forgotten = Exclude<keyof (NativeCron & NativePush & NativeStores & NativeTasks & NativeTimers & NativeWaits), PassedOn | OwnCall | Local>
true satisfies [Forgotten] extends [never] ? true : Forgotten
