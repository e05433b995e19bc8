import { inspect } from 'node:util'
import { nearest } from '../config/nearest.ts'
import { sluiceTypeError } from '../errors.ts'

/**
 * Reads options of unknown shape, one by one; a wrong one is a TypeError ERR_SLUICE_INVALID_OPTION that names its path.
 * By hand, because the schema library of the configuration would be loaded by every worker of every
 * app that imports Sluice, with or without a client.
 */
export class OptionReader {
  readonly #options: Readonly<Record<string, unknown>>
  readonly #path: string

  /** @throws TypeError for a key that is not in `known` */
  constructor(options: object, known: Readonly<Record<string, true>>, path: string) {
    for (const key of Object.keys(options)) {
      if (Object.hasOwn(known, key)) continue
      const similar = nearest(key, Object.keys(known))
      throw sluiceTypeError('ERR_SLUICE_INVALID_OPTION', `unknown option \`${path}${key}\`${similar === undefined ? '' : `, did you mean \`${path}${similar}\`?`}`)
    }
    this.#options = options as Readonly<Record<string, unknown>>
    this.#path = path
  }

  value(key: string): unknown {
    return this.#options[key]
  }

  whole(key: string, unit: string, min: number, max: number, fallback: number): number {
    return this.#read(key, fallback, (value): value is number => Number.isInteger(value) && isWithin(value, min, max), `a whole number of ${unit} from ${min} to ${max}`)
  }

  number(key: string, min: number, max: number, fallback: number): number {
    return this.#read(key, fallback, (value): value is number => isWithin(value, min, max), `a number from ${min} to ${max}`)
  }

  flag(key: string, fallback: boolean, expected = 'true or false'): boolean {
    return this.#read(key, fallback, (value): value is boolean => typeof value === 'boolean', expected)
  }

  choice<const T extends string>(key: string, choices: readonly T[], fallback: T): T {
    return this.#read(key, fallback, (value): value is T => choices.includes(value as T), choices.map((choice) => `"${choice}"`).join(' or '))
  }

  object(key: string): object | undefined {
    return this.#read(key, undefined, (value): value is object => typeof value === 'object' && value !== null && !Array.isArray(value), 'an object')
  }

  strings(key: string): readonly string[] {
    const given = this.#read(key, [], (value): value is string | string[] => isText(value) || (Array.isArray(value) && value.every(isText)), 'a string or a list of strings')
    return isText(given) ? [given] : given
  }

  text(key: string): string | undefined {
    return this.#read(key, undefined, isText, 'a string')
  }

  bytes(key: string): string | Uint8Array | undefined {
    return this.#read(key, undefined, (value): value is string | Uint8Array => isText(value) || value instanceof Uint8Array, 'a string or bytes')
  }

  signal(key: string): AbortSignal | undefined {
    return this.#read(key, undefined, (value): value is AbortSignal => value instanceof AbortSignal, 'an AbortSignal')
  }

  #read<T>(key: string, fallback: T, isRight: (value: unknown) => value is T, expected: string): T
  #read<T, F>(key: string, fallback: F, isRight: (value: unknown) => value is T, expected: string): T | F
  #read<T, F>(key: string, fallback: F, isRight: (value: unknown) => value is T, expected: string): T | F {
    const value = this.#options[key]
    if (value === undefined) return fallback
    if (!isRight(value)) throw invalidOption(`${this.#path}${key}`, expected, value)
    return value
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}

function isWithin(value: unknown, min: number, max: number): boolean {
  return typeof value === 'number' && value >= min && value <= max
}

/** Made, not thrown. `path` names the option, `expected` what fits after "must be". */
export function invalidOption(path: string, expected: string, value: unknown): TypeError {
  return sluiceTypeError('ERR_SLUICE_INVALID_OPTION', `${path} must be ${expected}, got ${inspect(value, { depth: 0, breakLength: Number.POSITIVE_INFINITY }).slice(0, 80)}`)
}
