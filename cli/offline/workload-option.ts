import { UsageError } from '../command.ts';

/** Reads `--to NAMESPACE/WORKLOAD[:PORT]`. */
export function parseTarget(text: string): {
  readonly namespace: string;
  readonly name: string;
  readonly port?: number;
} {
  const [, namespace, name, port] = /^([^/:]+)\/([^/:]+)(?::([0-9]{1,5}))?$/.exec(text) ?? [];
  if (namespace === undefined || name === undefined) {
    throw new UsageError(`--to ${text}: expected NAMESPACE/WORKLOAD or NAMESPACE/WORKLOAD:PORT`);
  }
  return port === undefined ? { namespace, name } : { namespace, name, port: Number(port) };
}

/** Reads `--label k=v`; undefined where there is none. */
export function parseLabels(texts: readonly string[] | undefined): { readonly [key: string]: string } | undefined {
  if (texts === undefined) return undefined;
  return Object.fromEntries(
    texts.map((text) => {
      const equals = text.indexOf('=');
      if (equals < 1) throw new UsageError(`--label ${text}: expected KEY=VALUE`);
      return [text.slice(0, equals), text.slice(equals + 1)];
    }),
  );
}

/** Reads `--header 'name: value'`; fields of one name are kept apart. */
export function parseHeaders(texts: readonly string[] | undefined): { readonly [name: string]: readonly string[] } {
  const headers = new Map<string, string[]>();
  for (const text of texts ?? []) {
    const colon = text.indexOf(':', 1);
    if (colon < 1) throw new UsageError(`--header ${text}: expected 'NAME: VALUE'`);
    const name = text.slice(0, colon).trim().toLowerCase();
    headers.set(name, [...(headers.get(name) ?? []), text.slice(colon + 1).trim()]);
  }
  return Object.fromEntries(headers);
}

/** Reads `--request 'METHOD PATH'`. */
export function parseRequestLine(text: string): { readonly method: string; readonly path: string } {
  const [, method, path] = /^(\S+) (\S+)$/.exec(text.trim()) ?? [];
  if (method === undefined || path === undefined) throw new UsageError(`--request '${text}': expected 'METHOD PATH'`);
  return { method, path };
}
