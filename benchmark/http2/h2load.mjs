/** Runs h2load and reads its figures. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Throws with the way to get it when h2load is missing. */
export async function requireH2load() {
  const found = await run('h2load', ['--version']).then(
    () => true,
    (error) => error.code !== 'ENOENT'
  )
  if (!found) throw new Error('h2load is not installed. On Debian and Ubuntu: apt-get install nghttp2-client')
}

/**
 * @param {string} url
 * @param {{ connections: number, streams: number, seconds: number, core: number | undefined }} options
 * @returns {Promise<{ requests: number, failed: number, rps: number }>}
 */
export async function h2load(url, { connections, streams, seconds, core }) {
  const args = ['-c', String(connections), '-m', String(streams), '-D', String(seconds), url]
  const command = core === undefined ? ['h2load', ...args] : ['taskset', '-c', String(core), 'h2load', ...args]
  const { stdout } = await run(command[0], command.slice(1), { timeout: (seconds + 20) * 1000, killSignal: 'SIGKILL' })
  const counts = /^requests: .* (\d+) succeeded, (\d+) failed/m.exec(stdout)
  const rate = /([\d.]+) req\/s/.exec(stdout)
  if (!counts || !rate) throw new Error(`h2load gave no result:\n${stdout}`)
  return { requests: Number(counts[1]), failed: Number(counts[2]), rps: Number(rate[1]) }
}
