/** Packages that the bundle leaves outside of itself: names, or `@scope/*`. */
export const PACKAGES: readonly string[];
export function build(): Promise<void>;
