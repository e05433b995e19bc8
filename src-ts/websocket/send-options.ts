import { Opcode, SendFlag } from '../bridge/record.ts'

/** How one message is sent. */
export interface SendOptions {
  /** As a binary message; false: as text, which the bytes must then be, in UTF-8. @default what `data` is */
  readonly binary?: boolean
  /** Whether to compress it, if the client agreed to that. @default true when `options.compression` is on */
  readonly compress?: boolean
  /** The last frame of its message. @default true */
  readonly fin?: boolean
  /** Not the first frame of its message. @default false */
  readonly continuation?: boolean
}

/** How a message is sent: opcode and flags. */
export function sendKind(isText: boolean, compress: number, { binary, compress: wanted, continuation = false, fin = true }: SendOptions): number {
  const opcode = continuation ? Opcode.CONTINUATION : (binary ?? !isText) ? Opcode.BINARY : Opcode.TEXT
  return opcode | (fin ? SendFlag.FIN : 0) | (wanted === undefined ? compress : wanted ? SendFlag.COMPRESS : 0)
}
