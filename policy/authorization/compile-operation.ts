import type { AuthorizationOperation } from '../resource/kinds/authorization-rule.ts';
import type { Attribute, Clause } from './clause.ts';
import { compileCaselessPatterns, compilePathPatterns, compilePatterns } from './compile-patterns.ts';
import { clauses } from './compile-source.ts';

const NOT_HTTP = 'the connection is not HTTP';

/** Attributes of what is called. */
export const OPERATION = {
  host: { field: 'hosts', isHttp: true, absent: NOT_HTTP, read: ({ host }) => host },
  method: { field: 'methods', isHttp: true, absent: NOT_HTTP, read: ({ method }) => method },
  path: { field: 'paths', isHttp: true, absent: NOT_HTTP, read: ({ path }) => path },
  port: { field: 'ports', isHttp: false, absent: '', read: ({ port }) => portText(port) },
} as const satisfies { readonly [name: string]: Attribute };

/** Texts of the ports seen: a workload has a handful, so that no request makes a string. */
const portTexts: string[] = [];

/** A port as policies write it. */
export function portText(port: number): string {
  const known = portTexts[port];
  if (known !== undefined) return known;
  const text = String(port);
  if (Number.isInteger(port) && port >= 0 && port <= 65535) portTexts[port] = text;
  return text;
}

/** Compiles `to.operation`: every clause must be satisfied. */
export function compileOperation(operation: AuthorizationOperation): readonly Clause[] {
  const { host, port, method, path } = OPERATION;
  return [
    ...clauses(host, 'hosts', operation.hosts, operation.notHosts, compileCaselessPatterns),
    ...clauses(port, 'ports', operation.ports, operation.notPorts, compilePorts),
    ...clauses(method, 'methods', operation.methods, operation.notMethods, compilePatterns),
    ...clauses(path, 'paths', operation.paths, operation.notPaths, compilePathPatterns),
  ];
}

/** Ports may have leading zeros. */
export function compilePorts(values: readonly string[]) {
  return compilePatterns(values.map((value) => String(Number(value))));
}
