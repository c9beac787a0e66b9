import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import { MAX_SCHEMA_DOCUMENT_BYTES } from '../../resource/kinds/api-schema.ts';
import { isRecord, type Path } from '../../schema/schema.ts';
import type { DocumentProblem } from '../api-model.ts';
import { type DocumentText, readDocumentText } from './openapi-text.ts';

/** Files that one document may be spread over. */
export const MAX_DOCUMENT_FILES = 1_000;
/** Where the other files stand in the document that is made of all; an extension of OpenAPI (§4.9). */
const FILES = 'x-lateral-files';
/** A `$ref` that may lead out of its file. */
const LEADS_OUT = /\$ref["']?\s*:\s*["']?(?!["'#\s])/;
/** RFC 3986 §3.1, and network-path references (§4.2): nothing is fetched. */
const ABSOLUTE = /^(?:[a-z][a-z0-9+.-]*:|\/\/)/i;
/** Keywords whose values are data, in which no `$ref` means anything. */
const DATA: ReadonlySet<string> = new Set(['example', 'examples', 'default', 'const', 'enum']);
/** Keywords whose values have names that are no keywords. */
const NAMED: ReadonlySet<string> = new Set([
  ...['properties', 'patternProperties', 'dependentSchemas', 'dependencies', '$defs', 'definitions'],
]);

/** Text of a file by its path; undefined: there is none that may be read. */
export type ReadBundledFile = (path: string) => string | undefined;

/** One document made of several files. */
export interface DocumentBundle {
  /** The document as JSON: the first file, and under `x-lateral-files` those that its `$ref`s name, by their paths. */
  readonly source: string;
  /** Its values; problems are shown in the files in which they are. */
  readonly text: DocumentText;
  /** Of all files, the first included. */
  readonly files: ReadonlySet<string>;
  /** Of their texts and paths. */
  readonly hash: string;
}

/**
 * Takes in the files that the `$ref`s of a document name, relative to the file they stand in, and those that these name. References by URL stay as they
 * are: nothing is fetched, and what cannot be resolved is told where they are followed. Below an `$id` of OpenAPI 3.1 references mean what the `$id`
 * says, and stay as well. Undefined: the document is of one file.
 */
export function bundleDocument(path: string, source: string, readFile: ReadBundledFile): DocumentBundle | undefined {
  if (!LEADS_OUT.test(source)) return undefined;
  const first = readDocumentText(source);
  if (!isRecord(first.value)) return undefined; // its reader says what is wrong
  const bundler = new Bundler(path, first, source, readFile);
  bundler.run();
  return bundler.result();
}

class Bundler {
  readonly #first: string;
  readonly #readFile: ReadBundledFile;
  readonly #texts = new Map<string, DocumentText>();
  readonly #values = new Map<string, unknown>();
  readonly #problems: DocumentProblem[] = [];
  readonly #anchors = new Map<string, string>();
  readonly #hash = createHash('sha256');
  readonly #hasIds: boolean;
  readonly #open: string[] = [];
  #bytes = 0;

  constructor(path: string, text: DocumentText, source: string, readFile: ReadBundledFile) {
    this.#first = path;
    this.#readFile = readFile;
    this.#hasIds = isRecord(text.value) && String(text.value.openapi).startsWith('3.1');
    this.#take(path, source, text);
  }

  run(): void {
    for (let file = this.#open.shift(); file !== undefined; file = this.#open.shift()) {
      this.#values.set(file, this.#rewritten(this.#texts.get(file)?.value, file, [], false));
    }
  }

  result(): DocumentBundle | undefined {
    if (this.#texts.size === 1 && this.#problems.length === 0) return undefined;
    const root = this.#values.get(this.#first);
    const others = [...this.#values]
      .filter(([file]) => file !== this.#first)
      .map(([file, value]) => [this.#name(file), value]);
    const value = { ...(isRecord(root) ? root : {}), [FILES]: Object.fromEntries(others) };
    return {
      source: JSON.stringify(value),
      files: new Set(this.#texts.keys()),
      hash: this.#hash.digest('hex'),
      // What follows from a file that cannot be read is not told besides.
      text: {
        value: this.#problems.length > 0 ? undefined : value,
        problems: this.#problems,
        problem: (...given) => this.#problem(...given),
      },
    };
  }

  #take(file: string, source: string, text: DocumentText): void {
    this.#bytes += Buffer.byteLength(source);
    this.#hash.update(JSON.stringify([file, source]));
    this.#texts.set(file, text);
    this.#open.push(file);
    for (const problem of text.problems) this.#problems.push({ ...problem, file });
  }

  /** Relative to the first file: the same wherever the folder is. */
  #name(file: string): string {
    return posix.relative(posix.dirname(this.#first), file);
  }

  #problem(...[severity, path, code, message, at]: Parameters<DocumentText['problem']>): DocumentProblem {
    const [field, name, ...rest] = path;
    const other = field === FILES ? posix.join(posix.dirname(this.#first), String(name)) : undefined;
    const file = other ?? this.#first;
    const text = this.#texts.get(file);
    if (text === undefined) throw new Error(`no file ${file} in the bundle`);
    return { ...text.problem(severity, other === undefined ? path : rest, code, message, at), file };
  }

  #fail(file: string, path: Path, message: string): void {
    const problem = this.#texts.get(file)?.problem('error', path, 'unreadable_reference', message);
    if (problem !== undefined) this.#problems.push({ ...problem, file });
  }

  #rewritten(value: unknown, file: string, path: Path, isNamed: boolean): unknown {
    if (Array.isArray(value)) return value.map((item, index) => this.#rewritten(item, file, [...path, index], false));
    if (!isRecord(value)) return value;
    if (!isNamed && this.#hasIds && typeof value.$id === 'string') return value;
    if (!isNamed && this.#hasIds) this.#noteAnchors(value, file, path);
    const entries = Object.entries(value).map(([key, child]): [string, unknown] => {
      const at = [...path, key];
      if (!isNamed && key === '$ref' && typeof child === 'string') return [key, this.#reference(child, file, at)];
      if (!isNamed && DATA.has(key)) return [key, child];
      return [key, this.#rewritten(child, file, at, !isNamed && NAMED.has(key))];
    });
    return Object.fromEntries(entries);
  }

  /** Anchors name places of a document: those of all files are now of one. */
  #noteAnchors(schema: { readonly [keyword: string]: unknown }, file: string, path: Path): void {
    for (const keyword of ['$anchor', '$dynamicAnchor']) {
      const anchor = schema[keyword];
      if (typeof anchor !== 'string') continue;
      const other = this.#anchors.get(anchor);
      if (other !== undefined && other !== file)
        this.#fail(
          file,
          [...path, keyword],
          `${keyword} ${anchor} is also one of ${other}; give the schema an $id, or another name`,
        );
      this.#anchors.set(anchor, file);
    }
  }

  #reference(reference: string, file: string, path: Path): string {
    if (ABSOLUTE.test(reference)) return reference;
    const hash = reference.indexOf('#');
    const name = hash < 0 ? reference : reference.slice(0, hash);
    const fragment = hash < 0 ? '' : reference.slice(hash + 1);
    const target = name === '' ? file : this.#target(name, file, path);
    if (target === undefined) return reference;
    if (target === this.#first || (fragment !== '' && !fragment.startsWith('/'))) return `#${fragment}`;
    return `#/${FILES}/${pointerStep(this.#name(target))}${fragment}`;
  }

  /** The path of the file that is named, which is taken in; undefined after a problem was reported. */
  #target(name: string, file: string, path: Path): string | undefined {
    const relative = decoded(name);
    const target = posix.join(posix.dirname(file), relative);
    if (this.#texts.has(target)) return target;
    if (posix.isAbsolute(relative) || /[\\\0]/.test(relative)) {
      this.#fail(file, path, `$ref ${name} is not a path relative to ${file}`);
      return undefined;
    }
    const source = this.#readFile(target);
    if (source === undefined) {
      this.#fail(file, path, `$ref ${name} names no readable file within the policy folder, relative to ${file}`);
      return undefined;
    }
    if (this.#texts.size === MAX_DOCUMENT_FILES) {
      this.#fail(file, path, `more than ${MAX_DOCUMENT_FILES} files`);
      return undefined;
    }
    if (this.#bytes + Buffer.byteLength(source) > MAX_SCHEMA_DOCUMENT_BYTES) {
      this.#fail(file, path, `with ${name} the files of the document exceed ${MAX_SCHEMA_DOCUMENT_BYTES} bytes`);
      return undefined;
    }
    this.#take(target, source, readDocumentText(source));
    return target;
  }
}

/** RFC 6901 §6. */
function pointerStep(name: string): string {
  return encodeURIComponent(name.replaceAll('~', '~0').replaceAll('/', '~1'));
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
