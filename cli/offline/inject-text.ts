import { isDeepStrictEqual } from 'node:util';
import {
  Document,
  isAlias,
  isMap,
  isNode,
  isSeq,
  type Node,
  type ParsedNode,
  parseDocument,
  type Tags,
  visit,
} from 'yaml';
import { injectManifest, type ManifestInjection } from '#control-plane/injection/inject-manifest.ts';
import type { InjectionSettings } from '#control-plane/injection/injection-configuration.ts';
import type { PatchOperation } from '#control-plane/injection/json-patch.ts';
import { isRecord } from '#policy/schema/schema.ts';

/** What `lateral inject` made of a file. */
export interface InjectedText {
  /** The same text, with pods injected; documents without one stand there byte for byte. */
  readonly text: string;
  readonly found: readonly FoundPod[];
  readonly errors: readonly TextError[];
}

export interface FoundPod extends ManifestInjection {
  /** From 1. */
  readonly line: number;
}

export interface TextError {
  /** From 1. */
  readonly line: number;
  readonly message: string;
}

interface Part {
  readonly text: string;
  readonly found: readonly FoundPod[];
  readonly errors: readonly TextError[];
}

/** Injects the pods of a file of manifests, YAML or JSON. */
export function injectText(text: string, namespace: string, settings: InjectionSettings): InjectedText {
  const json = parsedJson(text);
  if (json !== undefined) {
    const found = injectManifest(json, namespace, settings).map((one) => ({ ...one, line: 1 }));
    const operations = found.flatMap((one) => one.operations);
    if (operations.length === 0) return { text, found, errors: [] };
    return { text: `${JSON.stringify(patched(json, operations), null, 2)}\n`, found, errors: [] };
  }
  let line = 1;
  const parts = documentsOf(text).map((part) => {
    const injected = injectYaml(part, line, namespace, settings);
    line += part.split('\n').length - 1;
    return injected;
  });
  return {
    text: parts.map((part) => part.text).join(''),
    found: parts.flatMap(({ found }) => found),
    errors: parts.flatMap(({ errors }) => errors),
  };
}

function parsedJson(text: string): { readonly [key: string]: unknown } | undefined {
  if (!text.trimStart().startsWith('{')) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined; // a mapping of YAML may begin so too
  }
}

/** Each document with its `---`: a line that begins so is the end of one wherever it stands (YAML 1.2.2 §9.1.2). */
function documentsOf(text: string): string[] {
  const starts = [...text.matchAll(/^---(?=\s|$)/gm)].map(({ index }) => index);
  const cuts = [0, ...starts.filter((index) => index > 0), text.length];
  return cuts.slice(0, -1).map((from, index) => text.slice(from, cuts[index + 1]));
}

/** kubectl reads YAML 1.1, e.g. 0644 as an octal number, but knows no dates and no numbers to the base of 60. */
const OPTIONS = {
  version: '1.1',
  customTags: (tags: Tags): Tags =>
    tags.filter((tag) => {
      if (typeof tag === 'string') return true;
      return tag.format !== 'TIME' && tag.tag !== 'tag:yaml.org,2002:timestamp';
    }),
} as const;

function injectYaml(text: string, line: number, namespace: string, settings: InjectionSettings): Part {
  const document = parseDocument(text, OPTIONS);
  const [error] = document.errors;
  if (error !== undefined) {
    const at = line + (error.linePos?.[0].line ?? 1) - 1;
    return { text, found: [], errors: [{ line: at, message: error.message.split('\n', 1)[0] ?? '' }] };
  }
  const value: unknown = document.toJS();
  if (!isRecord(value)) return { text, found: [], errors: [] };
  const first = line + (text.slice(0, document.contents?.range?.[0] ?? 0).split('\n').length - 1);
  const found = injectManifest(value, namespace, settings).map((one) => ({ ...one, line: first }));
  const operations = found.flatMap((one) => one.operations);
  if (operations.length === 0) return { text, found, errors: [] };
  const changed = hasAliases(document) ? new Document(patched(value, operations), OPTIONS) : document;
  if (changed === document) for (const operation of operations) apply(document, operation);
  else changed.directives = document.directives;
  return { text: changed.toString({ lineWidth: 0, flowCollectionPadding: false }), found, errors: [] };
}

/** What an alias stands for is in several places: such a document is written out in full. */
function hasAliases(document: Document.Parsed<ParsedNode>): boolean {
  let isFound = false;
  visit(document, {
    Node(_key, node) {
      if (isAlias(node)) isFound = true;
      return isFound ? visit.BREAK : undefined;
    },
  });
  return isFound;
}

/** In the tree of the text, so that comments and the writing of all else stay. */
function apply(document: Document.Parsed<ParsedNode>, operation: PatchOperation): void {
  const path = stepsOf(operation.path);
  if (operation.op === 'remove') {
    document.deleteIn(path);
    return;
  }
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
  const node = nodeOf(document, document.getIn(path, true), operation.value);
  if (isMap(parent)) parent.set(path.at(-1), node);
  else if (isSeq(parent)) parent.set(Number(path.at(-1)), node);
  else document.setIn(path, node);
}

/** Entries of a list that were there before stay the nodes they were. */
function nodeOf(document: Document.Parsed<ParsedNode>, before: unknown, value: unknown): Node {
  const node = document.createNode(value, { aliasDuplicateObjects: false });
  if (!isSeq(before) || !isSeq(node) || !Array.isArray(value)) return node;
  for (const [index, entry] of value.entries()) {
    const kept = before.items.find((item) => isNode(item) && isDeepStrictEqual(item.toJS(document), entry));
    if (kept !== undefined) node.items[index] = kept;
  }
  node.flow = before.flow === true && before.items.length > 0;
  return node;
}

function stepsOf(path: string): string[] {
  return path
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** The same manifest, changed. */
function patched(manifest: unknown, operations: readonly PatchOperation[]): unknown {
  const document = new Document(manifest, { aliasDuplicateObjects: false });
  for (const operation of operations) {
    const path = stepsOf(operation.path);
    if (operation.op === 'remove') document.deleteIn(path);
    else document.setIn(path, document.createNode(operation.value, { aliasDuplicateObjects: false }));
  }
  return document.toJS({ maxAliasCount: 0 });
}
