export const BUNDLES: string;
export const MANIFEST: string;
export function fingerprint(path: string): string;
export function findBundle(root: string): string | undefined;
