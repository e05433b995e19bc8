/** Packs the root package; dist/ must have been built. Returns the tarball's path. */
export declare function packRoot(folder: string): string
/** Packs a platform's package with the addon that lies in the root. Returns the tarball's path. */
export declare function packPlatform(platform: string, folder: string): string
/** The folder of npm/ that fits this machine; undefined when no package is built for it. */
export declare function hostPlatform(): string | undefined
