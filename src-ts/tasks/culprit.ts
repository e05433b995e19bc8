/** How deep the search for what cannot be cloned goes. */
const DEPTH_MAX = 16
/** How many values of one object it looks at. */
const WIDTH_MAX = 1_000

/** The innermost part of `value` for which `isCloneable` is false, as far as it can be found, and how one gets there. */
export function culprit(outermost: unknown, name: string, isCloneable: (value: unknown) => boolean): { readonly path: string; readonly kind: string } {
  let path = name
  let value = outermost
  try {
    for (let depth = 0; depth < DEPTH_MAX && typeof value === 'object' && value !== null; depth++) {
      const inner = partsOf(value).find(([, part]) => !isCloneable(part))
      if (inner === undefined) break
      path += inner[0]
      value = inner[1]
    }
  } catch {
    // A getter threw: it is in here somewhere.
  }
  return { path, kind: kindOf(value) }
}

/** The parts of an object, with what follows its path. */
function partsOf(value: object): [suffix: string, part: unknown][] {
  if (Array.isArray(value)) return value.slice(0, WIDTH_MAX).map((part: unknown, index) => [`[${index}]`, part])
  if (value instanceof Set) return [...value].slice(0, WIDTH_MAX).map((part: unknown, index) => [`[${index}]`, part])
  if (value instanceof Map) return [...value].slice(0, WIDTH_MAX).map(([key, part]: [unknown, unknown]) => [`.get(${String(key)})`, part])
  return Object.entries(value).slice(0, WIDTH_MAX).map(([key, part]) => [`.${key}`, part])
}

function kindOf(value: unknown): string {
  if (typeof value !== 'object' || value === null) return `a ${typeof value}`
  return `of class ${String(value.constructor?.name ?? 'Object')}`
}
