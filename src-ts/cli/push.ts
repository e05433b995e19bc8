import { readFileSync } from 'node:fs'
import { sluiceTypeError } from '../errors.ts'
import { ControlClient } from './control-client.ts'
import type { ControlAnswers, PushParams } from './control-handlers.ts'
import type { PushFlags } from './program.ts'
import type { ExitCode } from './run.ts'
import { findState } from './state-dir.ts'

/** A server whose master does not answer within this time, in milliseconds, is not well, whatever it does. */
const ANSWER_MS = 5_000
/** Longest message in bytes. Text and base64 of it fit into a line of the control socket, however its characters are written there. */
const MESSAGE_BYTES_MAX = 128 * 1024

/** `sluice push`: sends a message to connections of the running server. Exits with 1 when none of them is the target. */
export async function push(target: string, data: string | undefined, { config, binaryFile, json }: PushFlags): Promise<ExitCode> {
  const params: PushParams = { target, ...messageOf(data, binaryFile) }
  const client = await ControlClient.connect((await findState(config)).socket)
  try {
    const { connections } = (await client.call('push', params, ANSWER_MS)) as ControlAnswers['push']
    const text = connections === 0 ? 'Nobody to push to' : `Pushed to ${connections} connection${connections === 1 ? '' : 's'}`
    process.stdout.write(json ? `${JSON.stringify({ connections })}\n` : `${text}\n`)
    return connections > 0 ? 0 : 1
  } finally {
    client.close()
  }
}

function messageOf(text: string | undefined, file: string | undefined): Pick<PushParams, 'text' | 'base64'> {
  if ((text === undefined) === (file === undefined)) throw sluiceTypeError('ERR_SLUICE_INVALID_OPTION', 'A message is needed, either as an argument or with --binary-file')
  if (file === undefined) {
    checkLength(Buffer.byteLength(text as string))
    return { text: text as string }
  }
  const bytes = contentOf(file)
  checkLength(bytes.length)
  return { base64: bytes.toString('base64') }
}

function contentOf(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (cause) {
    throw sluiceTypeError('ERR_SLUICE_INVALID_OPTION', `--binary-file cannot be read: ${(cause as Error).message}`, { cause })
  }
}

function checkLength(bytes: number): void {
  if (bytes > MESSAGE_BYTES_MAX) throw sluiceTypeError('ERR_SLUICE_INVALID_OPTION', `A message must have at most ${MESSAGE_BYTES_MAX} bytes, got ${bytes}`)
}
