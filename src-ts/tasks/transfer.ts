import { sluiceTypeError } from '../errors.ts'

/** @throws TypeError ERR_SLUICE_INVALID_ARG for anything but a list of buffers, each of them once and none detached */
export function checkTransfer(transfer: readonly ArrayBuffer[]): void {
  if (!Array.isArray(transfer)) throw fault(`must be a list of ArrayBuffers, got ${typeof transfer}`)
  for (const buffer of transfer) {
    if (!(buffer instanceof ArrayBuffer)) throw fault(`must be a list of ArrayBuffers, got ${typeof buffer} in it`)
    if (isDetached(buffer)) throw fault('has a buffer that is detached already')
  }
  if (new Set(transfer).size !== transfer.length) throw fault('has a buffer twice')
}

/**
 * Detaches buffers whose task is delivered. The pool of Node.js' small buffers and the memory of WebAssembly cannot be: they stay as they are, which is what
 * Node.js 20 does by itself, and there is no way to know before the task is on its way.
 */
export function detach(transfer: readonly ArrayBuffer[]): void {
  for (const buffer of transfer) {
    try {
      structuredClone(buffer, { transfer: [buffer] })
    } catch {
      // It was copied all the same.
    }
  }
}

/** `buffer.detached`, which Node.js 20 does not have. */
function isDetached(buffer: ArrayBuffer): boolean {
  if (buffer.byteLength > 0) return false
  try {
    return new Uint8Array(buffer).length > 0
  } catch {
    return true
  }
}

function fault(what: string): Error {
  return sluiceTypeError('ERR_SLUICE_INVALID_ARG', `\`transfer\` ${what}`)
}
