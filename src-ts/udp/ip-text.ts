/** An IPv4 address from the 32 bits it is, signed or not. */
export function ipv4Text(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`
}

/** An IPv6 address from its 16 bytes, as RFC 5952 writes it; a scope other than 0 follows as `%2`. */
export function ipv6Text(bytes: Uint8Array, scope: number): string {
  const groups = Array.from({ length: 8 }, (_, index) => (bytes[2 * index]! << 8) | bytes[2 * index + 1]!)
  const zeros = longestZeros(groups)
  const address = zeros.length < 2 ? text(groups) : `${text(groups.slice(0, zeros.start))}::${text(groups.slice(zeros.start + zeros.length))}`
  return scope === 0 ? address : `${address}%${scope}`
}

const text = (groups: readonly number[]): string => groups.map((group) => group.toString(16)).join(':')

/** The first of the longest runs of zeros. */
function longestZeros(groups: readonly number[]): { readonly start: number; readonly length: number } {
  let longest = { start: 0, length: 0 }
  for (let start = 0; start < groups.length; start++) {
    let length = 0
    while (groups[start + length] === 0) length++
    if (length > longest.length) longest = { start, length }
    start += length
  }
  return longest
}
