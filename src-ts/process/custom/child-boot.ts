import type { ProcessName } from './handle.ts'
import type { PipeKind } from './spec.ts'
import type { TableSpec } from '../../table/spec.ts'
import type { PortRecord } from '../messages.ts'

/** What the code of a process is told at its birth, in a thread or in a process of its own. */
export interface ProcessBoot {
  /** Of the configuration. */
  readonly key: string
  /** The instance's. */
  readonly name: string
  readonly index: number
  readonly pipe: PipeKind
  /** File URL of its module; undefined when its functions are in the configuration file. */
  readonly file: string | undefined
  /** All instances there are. */
  readonly names: readonly ProcessName[]
}

/** What a process of its own is told besides. */
export interface ChildBoot extends ProcessBoot {
  /** Its number in the server. */
  readonly id: number
  /** File with the configuration, for the functions in it; undefined when there is none. */
  readonly configFile: string | undefined
  readonly env: string | undefined
  readonly serverName: string
  readonly version: string | undefined
  readonly ports: readonly PortRecord[]
  /** As {@link Boot.tasks} has them. */
  readonly tasks: { readonly queues: readonly string[]; readonly isDurable: boolean }
  readonly tables: Readonly<Record<string, TableSpec>>
  /** Tables that are memory of the server's process alone, wherever others are: see `shared-memory.ts`. */
  readonly ownTables: readonly string[]
  /** Where the tables can be attached. */
  readonly stateDir: string | undefined
}
