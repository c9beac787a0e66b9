import { isRecord } from '../../schema/schema.ts';

/**
 * The path that `servers` puts in front of all paths: that of the one server, without a slash at its end; empty
 * where there are none or several. Variables take their defaults. Undefined: the URL cannot be read.
 * Source: OpenAPI 3.1 §4.8.5.
 */
export function basePath(servers: unknown): string | undefined {
  if (!Array.isArray(servers) || servers.length !== 1) return '';
  const server: unknown = servers[0];
  if (!isRecord(server) || typeof server.url !== 'string') return undefined;
  const { variables } = server;
  const url = server.url.replace(/\{([^{}]*)\}/g, (whole, name: string) => {
    const variable = isRecord(variables) && Object.hasOwn(variables, name) ? variables[name] : undefined;
    return isRecord(variable) && variable.default !== undefined ? String(variable.default) : whole;
  });
  // Relative URLs are relative to where the document is served, which nobody says: from the root.
  if (!URL.canParse(url, 'http://document/')) return undefined;
  const { pathname } = new URL(url, 'http://document/');
  return pathname.replace(/\/+$/, '');
}
