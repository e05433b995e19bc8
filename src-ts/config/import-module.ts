import { pathToFileURL } from 'node:url'

/** What Node says to a file, or to something it imports, that is TypeScript beyond what this Node can run. */
const needsCompiler = new Set(['ERR_UNKNOWN_FILE_EXTENSION', 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX'])

/**
 * Imports a module by absolute path: by Node itself, and TypeScript that it cannot run through `jiti` if that is installed.
 * Rejects with what the module threw; when there is no `jiti`, with Node's own error. Sluice itself is never compiled a second
 * time: the module must get the classes and the addon that are loaded already.
 */
export async function importModule(path: string): Promise<Record<string, unknown>> {
  try {
    return await import(pathToFileURL(path).href)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && needsCompiler.has(String(error.code)))) throw error
    const jiti = await import('jiti').catch(() => undefined)
    if (jiti === undefined) throw error
    return await jiti.createJiti(import.meta.url, { interopDefault: false, nativeModules: ['sluice'] }).import(path)
  }
}
