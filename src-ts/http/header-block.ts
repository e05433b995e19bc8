import { AnswerFlag, Template, templates } from '../bridge/record.ts'
import { sluiceTypeError } from '../errors.ts'
import { checkValue, fieldRule, Rule } from './field-rule.ts'
import { responseHeaders } from './response-headers.ts'

const templateId: ReadonlyMap<string, number> = new Map(templates.map((type, id): [string, number] => [type, id]).slice(1))

/** What fields may be given as: the standard's `HeadersInit`, for which TypeScript has no name without a browser's types. */
export type FieldsInit = NonNullable<ResponseInit['headers']>

/**
 * The header of an answer in the form the core takes it: lines, a template for the usual `content-type`, flags.
 *
 * Framing is the core's: `content-length` is kept as the length of a streamed body, `connection: close` becomes a flag,
 * `keep-alive` and `transfer-encoding` are dropped.
 */
export class HeaderBlock {
  /** `name: value\r\n`…, latin1, every byte checked. */
  lines: string
  template: number
  /** `AnswerFlag`s. */
  flags: number
  /** The value of `content-length`, -1 when not set. */
  length: number
  /** Whether there is a `content-type`, as a template or a line. */
  isTyped: boolean

  constructor(template: number) {
    this.lines = ''
    this.template = template
    this.flags = 0
    this.length = -1
    this.isTyped = template !== Template.NONE
  }

  /** What a `Headers`, an object or a list of pairs says. */
  static from(init: FieldsInit): HeaderBlock {
    const block = new HeaderBlock(Template.NONE)
    if (Symbol.iterator in init) {
      for (const field of init) {
        if (field.length !== 2) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `A header must be a pair of name and value, got ${field.length} items`)
        block.append(String(field[0]), String(field[1]))
      }
    } else {
      for (const name in init) {
        // A value may be anything that has a text; numbers are usual.
        if (Object.hasOwn(init, name)) block.append(name, String(init[name]))
      }
    }
    return block
  }

  /** @throws TypeError ERR_SLUICE_INVALID_ARG for a name that is no token or a value that cannot be sent */
  append(name: string, value: string): void {
    const { prefix, rule } = fieldRule(name)
    if (rule === Rule.CONTENT_TYPE && !this.isTyped) {
      this.isTyped = true
      // The usual types need no check, and for most answers they are the whole block.
      this.template = templateId.get(value) ?? Template.NONE
      if (this.template !== Template.NONE) return
    }
    checkValue(name, value)
    switch (rule) {
      case Rule.CONTENT_LENGTH:
        this.length = parseLength(value)
        return
      case Rule.CONNECTION:
        if (/(?:^|,)\s*close\s*(?:,|$)/i.test(value)) this.flags |= AnswerFlag.CLOSE
        return
      case Rule.DROPPED:
        return
      case Rule.DATE:
        this.flags |= AnswerFlag.HAS_DATE
        break
      case Rule.SERVER:
        this.flags |= AnswerFlag.HAS_SERVER
    }
    this.lines += `${prefix}${value}\r\n`
  }

  /** The same as a `Headers` of its own. */
  toHeaders(): Headers {
    const headers = responseHeaders()
    if (this.template !== Template.NONE) headers.append('content-type', templates[this.template]!)
    if (this.length >= 0) headers.append('content-length', String(this.length))
    if ((this.flags & AnswerFlag.CLOSE) !== 0) headers.append('connection', 'close')
    for (const line of this.lines.split('\r\n')) {
      const colon = line.indexOf(': ')
      if (colon > 0) headers.append(line.slice(0, colon), line.slice(colon + 2))
    }
    return headers
  }
}

function parseLength(value: string): number {
  const length = /^\d+$/.test(value) ? Number(value) : NaN
  if (!Number.isSafeInteger(length)) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `Header "content-length" must be a whole number of bytes, got ${JSON.stringify(value)}`)
  return length
}
