/**
 * The servers of this thread, for `import { server } from 'sluice'`. The list hangs on `globalThis` because the application
 * may see another copy of this module than the one that started it (a second bundle, a compiler's module cache).
 */
import type { Server } from './api.ts'

const KEY: unique symbol = Symbol.for('sluice.servers') as never
const holder = globalThis as typeof globalThis & { [KEY]?: Server[] }

/** Makes `server` the one that {@link running} gives in this thread. */
export function enter(server: Server): void {
  holder[KEY] ??= []
  holder[KEY].push(server)
}

/** Takes it back, when it has stopped. */
export function leave(server: Server): void {
  holder[KEY] = (holder[KEY] ?? []).filter((one) => one !== server)
}

/** The server that was started last in this thread and still runs. */
export function running(): Server | undefined {
  return holder[KEY]?.at(-1)
}
