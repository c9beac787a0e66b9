import { Composer, isDocument, LineCounter, Parser, YAMLError } from 'yaml';
import type { Problem } from '../problem.ts';
import type { SourceFile } from '../resource-set.ts';
import type { Path } from '../schema/schema.ts';
import { nodeOffset } from './node-offset.ts';
import { nodeToValue } from './node-to-value.ts';

/** A larger file is refused unread: reading takes about a second a megabyte. */
export const MAX_FILE_BYTES = 4 * 1024 * 1024;
/** More documents in one file are refused. */
export const MAX_DOCUMENTS = 20_000;
/** Problems reported for one file; the rest is only counted. */
export const MAX_PROBLEMS = 100;

export interface Position {
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
}

/** One YAML document as plain values, and where each of them stands. */
export interface YamlDocument {
  readonly value: unknown;
  /** The position of the value at a path, or with `at: 'key'` of its name; of the nearest parent that is there. */
  position(path: Path, at?: 'key'): Position;
}

export interface YamlFile {
  /** In order; empty documents are left out. */
  readonly documents: readonly YamlDocument[];
  readonly problems: readonly Problem[];
}

/**
 * Reads all documents of a YAML 1.2 file (core schema). Syntax errors, duplicate keys, aliases that would
 * grow the document beyond its bounds, and tags that are not of the core schema are errors with their position.
 */
export function readYaml(file: SourceFile): YamlFile {
  const problems: Problem[] = [];
  const report = (position: Position, code: string, message: string) => {
    if (problems.length >= MAX_PROBLEMS) return;
    problems.push({ file: file.path, ...position, severity: 'error', code, message });
  };
  const bytes = Buffer.byteLength(file.text);
  if (bytes > MAX_FILE_BYTES) {
    report({ line: 1, column: 1 }, 'file_too_large', `file of ${bytes} bytes exceeds the limit of ${MAX_FILE_BYTES}`);
    return { documents: [], problems };
  }
  const lines = new LineCounter();
  const at = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const documents: YamlDocument[] = [];
  for (const document of compose(file.text, lines, report, at)) {
    const [fault] = [...document.errors, ...document.warnings];
    if (fault !== undefined) {
      // Only the first of a document: one slip makes the reader stumble many times.
      report(at(fault.pos[0]), 'yaml_syntax', syntaxMessage(fault));
      continue;
    }
    const value = nodeToValue(document.contents, (offset, code, message) => report(at(offset), code, message));
    if (value === undefined || value === null) continue;
    documents.push({ value, position: (path, where) => at(nodeOffset(document.contents, path, where)) });
  }
  return { documents, problems };
}

type Report = (position: Position, code: string, message: string) => void;

function* compose(text: string, lines: LineCounter, report: Report, at: (offset: number) => Position) {
  // Duplicate keys are looked for while values are taken out: the package's own check is quadratic.
  const composer = new Composer({ uniqueKeys: false, version: '1.2', merge: false });
  let count = 0;
  try {
    for (const document of composer.compose(new Parser(lines.addNewLine).parse(text), true, text.length)) {
      if (++count > MAX_DOCUMENTS) {
        report(at(document.range[0]), 'too_many_documents', `more than ${MAX_DOCUMENTS} documents in one file`);
        return;
      }
      if (isDocument(document)) yield document;
    }
  } catch (error) {
    if (error instanceof YAMLError) report(at(error.pos[0]), 'yaml_syntax', syntaxMessage(error));
    else if (error instanceof RangeError) report({ line: 1, column: 1 }, 'yaml_too_deep', 'nested too deep to be read');
    else throw error;
  }
}

function syntaxMessage(fault: YAMLError): string {
  if (fault.code === 'RESOURCE_EXHAUSTION') return 'nested too deep to be read';
  return fault.message.split('\n', 1)[0] ?? fault.message;
}
