export function missingSidecarFlags(nodeMajor: number, execArgv: readonly string[], nodeOptions?: string): string[];
export function notGiven(flags: readonly string[], execArgv: readonly string[], nodeOptions: string): string[];
