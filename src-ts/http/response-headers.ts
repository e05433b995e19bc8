import { checkField } from './field-rule.ts'
import { nativeClasses } from './native-classes.ts'

let checking: typeof Headers | null = null

/**
 * Empty `Headers` of a response: what cannot be sent is refused where it is set, with ERR_SLUICE_INVALID_ARG.
 *
 * Node's own would trim a line break at either end of a value, and report one inside without a code.
 */
export function responseHeaders(): Headers {
  return new (checking ??= checkingClass())()
}

/** Made when it is needed, since the class it extends is. */
function checkingClass(): typeof Headers {
  return class ResponseHeaders extends nativeClasses().Headers {
    override append(name: string, value: string): void {
      checkField(String(name), String(value))
      super.append(name, value)
    }

    override set(name: string, value: string): void {
      checkField(String(name), String(value))
      super.set(name, value)
    }
  }
}
