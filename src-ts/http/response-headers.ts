import { checkField } from './field-rule.ts'
import { NativeHeaders } from './native-classes.ts'

/**
 * The `Headers` of a response: what cannot be sent is refused where it is set, with ERR_SLUICE_INVALID_ARG.
 *
 * Node's own would trim a line break at either end of a value, and report one inside without a code.
 */
export class ResponseHeaders extends NativeHeaders {
  override append(name: string, value: string): void {
    checkField(String(name), String(value))
    super.append(name, value)
  }

  override set(name: string, value: string): void {
    checkField(String(name), String(value))
    super.set(name, value)
  }
}
