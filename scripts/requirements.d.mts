/** A requirement is missing. The message is the whole text for the user. */
export declare class RequirementError extends Error {}
/** @throws {RequirementError} This Node.js is not in `engines.node`. */
export declare function requireNode(root: string): void
/** @throws {RequirementError} Rust, in the version Cargo.toml names, or the linker it needs is missing. */
export declare function requireRust(root: string): void
/** Whether a version fits a range made of `^x.y.z` and `>=x` joined by `||`. @throws {TypeError} for any other form */
export declare function satisfies(version: string, range: string): boolean
