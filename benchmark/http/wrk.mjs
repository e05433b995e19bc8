/** Runs wrk with our script and reads its one line of JSON. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { fileURLToPath } from 'node:url'

const run = promisify(execFile)
const script = fileURLToPath(new URL('load.lua', import.meta.url))

/** Throws with the way to get it when wrk or taskset is missing. */
export async function requireTools() {
  for (const [tool, from] of [
    ['wrk', 'wrk'],
    ['taskset', 'util-linux']
  ]) {
    // `wrk -v` exits with 1: only "no such program" counts.
    const found = await run(tool, ['-v']).then(
      () => true,
      (error) => error.code !== 'ENOENT'
    )
    if (!found) throw new Error(`${tool} is not installed. On Debian and Ubuntu: apt-get install ${from}`)
  }
}

/**
 * @param {string} url
 * @param {{ connections: number, seconds: number, core: number | undefined, load: string }} options
 * @returns {Promise<{ requests: number, micros: number, p50: number | null, p99: number | null, max: number, socketErrors: number, badStatus: number }>}
 *   times in microseconds; a percentile is null when wrk cannot tell it
 */
export async function wrk(url, { connections, seconds, core, load }) {
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '5s', '-s', script, url, '--', load]
  const command = core === undefined ? ['wrk', ...args] : ['taskset', '-c', String(core), 'wrk', ...args]
  const { stdout } = await run(command[0], command.slice(1), { timeout: (seconds + 20) * 1000, killSignal: 'SIGKILL' })
  const result = /^RESULT (\{.*\})$/m.exec(stdout)
  if (!result) throw new Error(`wrk gave no result:\n${stdout}`)
  return JSON.parse(result[1])
}
