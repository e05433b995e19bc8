import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { folder } from './folder.js'

const seconds = join(folder, 'seconds')
/** How many seconds are remembered as taken; no worker is that late. */
const KEPT = 60

/**
 * Calls `tick` with the Unix time in seconds, every second, until `signal` aborts. Of all workers that run it, one gets each
 * second: during a reload there are two of every worker, and "worker 0" would be both.
 */
export function everySecond(signal, tick) {
  mkdirSync(seconds, { recursive: true })
  let timer
  const wait = () => {
    timer = setTimeout(() => {
      const second = Math.floor(Date.now() / 1000)
      if (take(second)) tick(second)
      wait()
    }, 1000 - (Date.now() % 1000))
  }
  signal.addEventListener('abort', () => clearTimeout(timer), { once: true })
  wait()
}

/** A file can be created once, so one worker has the second. On a full disk nobody has it: no reason to die. */
function take(second) {
  try {
    writeFileSync(join(seconds, String(second)), '', { flag: 'wx' })
    for (const name of readdirSync(seconds)) if (Number(name) < second - KEPT) rmSync(join(seconds, name), { force: true })
    return true
  } catch (error) {
    if (error.code !== 'EEXIST') console.error(error)
    return false
  }
}
