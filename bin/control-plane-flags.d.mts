export function missingControlPlaneFlags(
  nodeMajor: number,
  execArgv: readonly string[],
  nodeOptions?: string,
): string[];
export function controlPlaneEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv;
