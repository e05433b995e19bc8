/** What `fixtures/mortal-socket.mjs` tells of its connections, and the rules that hold for all of it. */
import { BroadcastChannel } from 'node:worker_threads'
import type { ExecutionContext } from 'ava'
import type { Server } from 'sluice'

/** How long a wait for a note may last, in milliseconds. Only reached when a promise is broken. */
const WAIT_MS = 20_000

export interface Note {
  readonly event: 'open' | 'adopt' | 'adopted' | 'begin' | 'end' | 'close' | 'until' | 'stream' | 'stream-closed'
  /** Of the connection. */
  readonly id: number
  /** Number and thread of the worker. */
  readonly worker: number
  readonly thread: number
  /** Nanoseconds; comparable between threads. */
  readonly at: bigint
  readonly from?: { readonly worker: number; readonly reason: string }
  readonly text?: string
  readonly info?: { readonly by: string; readonly clean: boolean; readonly code: number; readonly reason: string }
  readonly data?: unknown
}

export class Notes {
  readonly #notes: Note[] = []
  readonly #looks = new Set<() => void>()

  constructor(server: Server) {
    server.on('message', (_from, data) => {
      this.#notes.push(data as Note)
      for (const look of this.#looks) look()
    })
  }

  /** What happened to one connection, or to all, in the order in which it did. */
  of(id?: number): Note[] {
    return this.#notes.filter((note) => id === undefined || note.id === id).sort((a, b) => (a.at < b.at ? -1 : 1))
  }

  /** The same in few words: `begin echo 1`, `adopt crash`. */
  story(id?: number): string[] {
    return this.of(id).map(({ event, from, text }) => [event, text ?? from?.reason].filter((word) => word !== undefined).join(' '))
  }

  /** The first note that fits, of those that came and those to come. Rejects after 20 s with what came. */
  until(fits: (note: Note) => boolean): Promise<Note> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#looks.delete(look)
        reject(new Error(`waited ${WAIT_MS} ms for a note; last were ${this.story().slice(-20).join(', ')}`))
      }, WAIT_MS)
      const look = (): void => {
        const found = this.#notes.find(fits)
        if (!found) return
        clearTimeout(timer)
        this.#looks.delete(look)
        resolve(found)
      }
      this.#looks.add(look)
      look()
    })
  }

  /**
   * Fails when a connection breaks a rule: `open` is first and `close` last, each once; in every other thread `adopt` comes
   * once, before all else; nothing runs while a handler of the same connection is pending, unless its thread has died.
   */
  check(t: ExecutionContext, { concurrency = 1 } = {}): void {
    for (const id of new Set(this.#notes.map((note) => note.id))) {
      const notes = this.of(id).filter(({ event }) => event !== 'until' && !event.startsWith('stream'))
      if (notes.length === 0) continue
      const story = `connection ${id}: ${notes.map(({ event, text, thread, from }) => `${event} ${text ?? from?.reason ?? ''} (thread ${thread})`).join(', ')}`
      t.is(notes.findIndex(({ event }) => event === 'open'), 0, `open is first; ${story}`)
      t.is(notes.filter(({ event }) => event === 'open').length, 1, `open comes once; ${story}`)
      const closes = notes.filter(({ event }) => event === 'close').length
      t.true(closes === 0 || (closes === 1 && notes.at(-1)?.event === 'close'), `close comes once and last; ${story}`)
      let thread = notes[0]?.thread
      let pending = 0
      for (const note of notes.slice(1)) {
        if (note.thread !== thread) {
          t.is(note.event, 'adopt', `the first event in another thread is adopt; ${story}`)
          const isDeath = note.from?.reason === 'crash' || note.from?.reason === 'stuck'
          t.true(isDeath || pending === 0, `the old worker has settled everything before; ${story}`)
          thread = note.thread
          pending = 0
          continue
        }
        t.not(note.event, 'adopt', `adopt comes once; ${story}`)
        if (note.event === 'begin') pending += 1
        if (note.event === 'end') pending -= 1
        t.true(pending >= 0 && pending <= concurrency, `handlers run one after the other; ${story}`)
      }
    }
  }
}

/** Opens a gate that handlers of `mortal-socket.mjs` wait at, in every thread. */
export function openGate(name: string): void {
  const channel = new BroadcastChannel('mortal-socket')
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- there is no window here
  channel.postMessage(name)
  channel.close()
}
