/** Certificates made for one test, by openssl. */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ExecutionContext } from 'ava'

const run = promisify(execFile)

/** A certificate with its key, as files and as PEM. */
export interface Pair {
  readonly cert: string
  readonly key: string
  readonly certFile: string
  readonly keyFile: string
}

/** An authority in a folder of its own, which goes with the test. */
export class Authority {
  readonly folder: string
  readonly #ca: Pair

  private constructor(folder: string, ca: Pair) {
    this.folder = folder
    this.#ca = ca
  }

  static async create(t: ExecutionContext): Promise<Authority> {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-certificates-'))
    t.teardown(() => rm(folder, { recursive: true, force: true }))
    return new Authority(folder, await makePair(folder, 'ca', ['-subj', '/CN=Test Authority', '-addext', 'basicConstraints=critical,CA:TRUE']))
  }

  /** Its own certificate, PEM. */
  get ca(): string {
    return this.#ca.cert
  }

  get caFile(): string {
    return this.#ca.certFile
  }

  /** A certificate for these names. `kind`: the key's, as openssl names it. */
  sign(file: string, names: readonly string[], kind = 'ec'): Promise<Pair> {
    const subject = ['-subj', `/CN=${names[0]}`, '-addext', `subjectAltName=${names.map((name) => (/^[\d.]+$/.test(name) ? `IP:${name}` : `DNS:${name}`)).join(',')}`, '-addext', 'basicConstraints=critical,CA:FALSE']
    return makePair(this.folder, file, [...subject, '-CA', this.#ca.certFile, '-CAkey', this.#ca.keyFile], kind)
  }

  /** Puts another pair in the place of `old`, file by file as renewals do. */
  static async replace(old: Pair, by: Pair): Promise<void> {
    for (const name of ['cert', 'key'] as const) {
      await writeFile(`${old[`${name}File`]}.new`, by[name])
      await rename(`${old[`${name}File`]}.new`, old[`${name}File`])
    }
  }
}

const KEYS: Readonly<Record<string, readonly string[]>> = { ec: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'], rsa: ['-newkey', 'rsa:2048'], ed25519: ['-newkey', 'ed25519'] }

async function makePair(folder: string, file: string, options: readonly string[], kind = 'ec'): Promise<Pair> {
  const [certFile, keyFile] = [join(folder, `${file}.pem`), join(folder, `${file}.key`)]
  await run('openssl', ['req', '-x509', '-nodes', '-days', '2', ...KEYS[kind]!, '-keyout', keyFile, '-out', certFile, ...options])
  const [cert, key] = await Promise.all([readFile(certFile, 'utf8'), readFile(keyFile, 'utf8')])
  return { cert, key, certFile, keyFile }
}
