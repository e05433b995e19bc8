import { readFileSync } from 'node:fs'

/** The block of a page of the reference that begins with the name of its file. */
export function example(page: string, file: string): string {
  const text = readFileSync(new URL(`../../docs/reference/${page}`, import.meta.url), 'utf8')
  const block = [...text.matchAll(/^```js\n([^]*?)^```$/gm)].map(([, code = '']) => code).find((code) => code.startsWith(`// ${file}\n`))
  if (block === undefined) throw new Error(`${page} has no ${file}`)
  return block
}
