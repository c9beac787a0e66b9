import { isAlias, isMap, isScalar, isSeq, type Node } from 'yaml';

/** Deeper documents are refused: everything behind walks values recursively. */
export const MAX_DEPTH = 100;
/** Values of one document, aliases counted at their full size: what a YAML bomb runs into. */
export const MAX_VALUES = 1_000_000;
/** Aliases of one document. */
export const MAX_ALIASES = 1_000;

type Report = (offset: number, code: string, message: string) => void;

interface Anchored {
  readonly value: unknown;
  /** Values in it, itself included. */
  readonly size: number;
}

/**
 * Turns a YAML node into plain values; undefined after it has reported a problem. Aliases share one value.
 * Keys are strings; a key that appears twice in a mapping is an error at its second place.
 */
export function nodeToValue(root: Node | null, report: Report): unknown {
  const anchors = new Map<string, Anchored>();
  let size = 0;
  let aliases = 0;
  let isBroken = false;

  function refuse(node: Node, code: string, message: string): undefined {
    if (!isBroken) report(node.range?.[0] ?? 0, code, message);
    isBroken = true;
    return undefined;
  }

  function convert(node: unknown, depth: number): unknown {
    if (!isNode(node)) return null;
    if (isBroken) return undefined;
    if (depth > MAX_DEPTH) return refuse(node, 'yaml_too_deep', `nested deeper than ${MAX_DEPTH} levels`);
    const sizeBefore = size;
    size += 1;
    const value = isAlias(node) ? expanded(node) : content(node, depth);
    if (size > MAX_VALUES) {
      return refuse(node, 'yaml_bomb', `more than ${MAX_VALUES} values once its aliases are expanded`);
    }
    if ('anchor' in node && typeof node.anchor === 'string') {
      anchors.set(node.anchor, { value, size: size - sizeBefore });
    }
    return value;
  }

  function expanded(node: Node & { readonly source: string }): unknown {
    if (++aliases > MAX_ALIASES) return refuse(node, 'yaml_bomb', `more than ${MAX_ALIASES} aliases in one document`);
    const anchored = anchors.get(node.source);
    if (anchored === undefined)
      return refuse(node, 'yaml_syntax', `alias of an unknown or unfinished anchor *${node.source}`);
    size += anchored.size;
    return anchored.value;
  }

  function content(node: Node, depth: number): unknown {
    if (isScalar(node)) return node.value;
    if (isSeq(node)) return node.items.map((item) => convert(item, depth + 1));
    if (!isMap(node)) return refuse(node, 'yaml_syntax', 'neither a mapping, a list nor a scalar');
    const entries = new Map<string, unknown>();
    for (const pair of node.items) {
      if (!isScalar(pair.key)) {
        return refuse(isNode(pair.key) ? pair.key : node, 'yaml_syntax', 'a key must be a plain scalar');
      }
      const key = String(pair.key.value);
      if (entries.has(key)) return refuse(pair.key, 'duplicate_key', `duplicate key ${key}`);
      entries.set(key, convert(pair.value, depth + 1));
    }
    return Object.fromEntries(entries); // defines `__proto__` as an own key, so that it is reported as unknown
  }

  const value = convert(root, 0);
  return isBroken ? undefined : value;
}

function isNode(value: unknown): value is Node {
  return isScalar(value) || isMap(value) || isSeq(value) || isAlias(value);
}
