import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Where the chat keeps what must outlive its workers: in the server's state directory. */
export const folder = join(process.env['SLUICE_STATE_DIR'] || fileURLToPath(new URL('.sluice', import.meta.url)), 'chat')
