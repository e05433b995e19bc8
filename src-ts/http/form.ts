import { sluiceError, sluiceRangeError, sluiceTypeError } from '../errors.ts'
import type { Exchange } from './exchange.ts'
import { fieldOf } from './head.ts'
import { RequestBody } from './request-body.ts'
import { type FileRecord, UploadedFile } from './uploaded-file.ts'

/** A form that came with a request. */
export type Form = FormData & {
  /** The fields that are no files; a field that came several times has all its values. Without a prototype: any name can be asked for. */
  readonly fields: Readonly<Record<string, string | readonly string[]>>
  /** The files, in the order in which they came. */
  readonly files: readonly UploadedFile[]
}

/** A form that is being read, and what has to be done when its request is over. */
export interface FormReading {
  readonly form: Promise<Form>
  /** Removes the files that are still where they were put. Idempotent. */
  release(): void
}

/** The bounds of a form that is not in parts; those of one in parts are the core's. */
export interface FormBounds {
  readonly fields: number
}

/** What the core says of a step. */
const Step = { MORE: 0, WAIT: 1, MALFORMED: 2, TOO_LARGE: 3 } as const

/**
 * Reads the form of a request.
 *
 * @throws TypeError when the body was read before, ERR_SLUICE_BODY_TYPE for a body of another type (415), ERR_SLUICE_BODY_MALFORMED (400), and RangeError
 * ERR_SLUICE_BODY_TOO_LARGE (413)
 */
export function readForm(exchange: Exchange, bounds: FormBounds): FormReading {
  const type = fieldOf(exchange, 'content-type') ?? ''
  if (exchange.isBodyTaken || (exchange.isStreamed && exchange.incoming().isOpened)) throw new TypeError('The request body was already read')
  const body = new RequestBody(exchange)
  // Whoever asks the request for its body from now on is told that it was read.
  exchange.formBody = body
  if (/^\s*application\/x-www-form-urlencoded\s*(?:;|$)/i.test(type)) return { form: readEncoded(body, bounds), release: () => undefined }
  let handle: number | undefined
  const release = (): void => {
    if (handle !== undefined) exchange.host.commands.formClose(handle)
    handle = undefined
  }
  const form = (async () => {
    handle = exchange.host.commands.formOpen(exchange, type, exchange.bodyBytes)
    if (handle === undefined) {
      throw sluiceTypeError('ERR_SLUICE_BODY_TYPE', `A form is multipart/form-data with a boundary or application/x-www-form-urlencoded, got ${type === '' ? 'no content-type' : JSON.stringify(type)}`)
    }
    try {
      await readParts(exchange, body, handle)
    } catch (error) {
      release()
      throw error
    }
    return partsOf(exchange, handle)
  })()
  return { form, release }
}

async function readEncoded(body: RequestBody, bounds: FormBounds): Promise<Form> {
  const text = await body.text()
  // Before anything is made of it: a body of `&` alone is a million fields.
  let fields = 0
  for (let at = text.indexOf('&'); at >= 0; at = text.indexOf('&', at + 1)) fields++
  if (text !== '' && fields >= bounds.fields) throw tooLarge(`it has more than uploads.fields (${bounds.fields}) fields`)
  return formOf(new URLSearchParams(text), [])
}

async function readParts(exchange: Exchange, body: RequestBody, handle: number): Promise<void> {
  const { commands } = exchange.host
  for await (const chunk of body.chunks()) {
    const { fault, step } = commands.formWrite(handle, chunk)
    if (step === Step.WAIT) await exchange.spooled()
    else if (step !== Step.MORE) throw failure(step, fault)
  }
  for (;;) {
    const { fault, step } = commands.formEnd(handle)
    if (step === Step.MORE) return
    if (step !== Step.WAIT) throw failure(step, fault)
    await exchange.spooled()
  }
}

function partsOf(exchange: Exchange, handle: number): Form {
  const { commands } = exchange.host
  // Written by our own core, on this machine, a moment ago.
  const { fields, files } = JSON.parse(commands.formContent(handle) ?? '{"fields":[],"files":[]}') as { fields: [string, string][]; files: FileRecord[] }
  return formOf(fields, files.map((file, index) => new UploadedFile(file, () => commands.formBytes(handle, index))))
}

function formOf(entries: Iterable<[string, string]>, files: readonly UploadedFile[]): Form {
  const form = new FormData()
  const fields = Object.create(null) as Record<string, string | string[]>
  for (const [name, value] of entries) {
    form.append(name, value)
    const before = fields[name]
    if (before === undefined) fields[name] = value
    else if (typeof before === 'string') fields[name] = [before, value]
    else before.push(value)
  }
  return Object.assign(form, { fields, files })
}

function failure(step: number, fault: string | undefined): Error {
  if (step === Step.TOO_LARGE) return tooLarge(fault)
  if (step === Step.MALFORMED) return sluiceError('ERR_SLUICE_BODY_MALFORMED', `The form cannot be read: ${fault}`)
  return sluiceError('ERR_SLUICE_SHUTTING_DOWN', 'The form cannot be read to its end, because the worker has left')
}

function tooLarge(fault: string | undefined): Error {
  return sluiceRangeError('ERR_SLUICE_BODY_TOO_LARGE', `The form is too large: ${fault}`)
}
