import type { BuildOptions } from 'esbuild';

export function build(): Promise<void>;

export const BUNDLING: BuildOptions;
