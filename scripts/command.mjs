/**
 * Child processes of the build and test scripts: no stdin, output passed on, a limit on time.
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

/** Nothing that these scripts start may take longer than this, in milliseconds. A fat-LTO build of everything takes a quarter of it. */
const LONGEST_RUN = 20 * 60_000

/**
 * Runs a program to its end. Its output goes to ours as it comes. With `line`, it goes there line by line, and what `line` returns
 * is printed in a line's place; nothing when that is undefined.
 *
 * @param {string} program
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: Record<string, string | undefined>, line?: (text: string) => string | undefined }} [options] `env` is added to ours.
 * @returns {Promise<{ ok: boolean, reason: string }>} `reason` says how it ended when not `ok`; it does not reject.
 */
export function runCommand(program, args, { cwd, env, line } = {}) {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', line ? 'pipe' : 'inherit', line ? 'pipe' : 'inherit'],
      timeout: LONGEST_RUN,
      killSignal: 'SIGKILL',
    })
    if (line) {
      for (const [from, to] of [[child.stdout, process.stdout], [child.stderr, process.stderr]]) {
        createInterface({ input: from, crlfDelay: Infinity }).on('line', (text) => {
          const print = line(text)
          if (print !== undefined) to.write(`${print}\n`)
        })
      }
    }
    child.once('error', (error) => resolve({ ok: false, reason: error.message }))
    child.once('close', (code, signal) => {
      resolve({ ok: code === 0, reason: signal ? `${program} was ended by ${signal}` : `${program} exited with code ${code}` })
    })
  })
}

/**
 * The program and first arguments that run npm with this very Node. A plain `npm` would be `npm.cmd` on
 * Windows, which cannot be started without a shell.
 *
 * @returns {[program: string, ...args: string[]]}
 */
export function npmCommand() {
  const script = process.env['npm_execpath']
  return script?.endsWith('.js') ? [process.execPath, script] : ['npm']
}
