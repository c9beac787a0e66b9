import type { Test } from 'tap';
import { type Finished, type RunningProgram, runProgram, startProgram, type ToldEvent } from './go-program.ts';
import { type GrpcPair, startGrpcPair } from './grpc-pair.ts';

/** What a client of test/peers/grpc is run with: `count: 2000` is `-count 2000`. */
export type ClientOptions = { readonly [option: string]: string | number | boolean };

/** The telltale server of test/peers/grpc behind two sidecars, and its clients before them. */
export interface GrpcPeers {
  readonly pair: GrpcPair;
  readonly server: RunningProgram;
  /** Runs a scenario to its end and returns the one line that it tells. */
  ask(scenario: string, options?: ClientOptions, hold?: Promise<unknown>): Promise<ToldEvent>;
}

/** `program`: the built test/peers/grpc. */
export async function startGrpcPeers(t: Test, program: string, policies?: string): Promise<GrpcPeers> {
  const server = await startProgram(t, program, ['server']);
  const pair = await startGrpcPair(t, server.port, policies);
  return {
    pair,
    server,
    ask: async (scenario, options = {}, hold) => {
      const finished = await runGrpcClient(program, scenario, { ...route(pair), ...options }, hold);
      const [told] = finished.told;
      if (told === undefined) throw new Error(`${scenario} told nothing: ${finished.errors}`);
      return told;
    },
  };
}

/** The options that lead a client through the pair. */
export function route({ address, authority }: GrpcPair): ClientOptions {
  return { address, authority };
}

export function runGrpcClient(
  program: string,
  command: string,
  options: ClientOptions,
  hold?: Promise<unknown>,
): Promise<Finished> {
  const args = Object.entries(options).map(([name, value]) => `-${name}=${value}`);
  return runProgram(program, [command, ...args], hold);
}
