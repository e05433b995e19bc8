/** Server and load never share a core when they are pinned. */
export const serverCore = 0
export const clientCore = 1
