import { LineCounter, parseDocument } from 'yaml';
import { MAX_SCHEMA_DOCUMENT_BYTES } from '../../resource/kinds/api-schema.ts';
import type { Path } from '../../schema/schema.ts';
import { nodeOffset } from '../../yaml/node-offset.ts';
import { MAX_DEPTH, nodeToValue } from '../../yaml/node-to-value.ts';
import type { DocumentProblem } from '../api-model.ts';
import { scanJson } from '../decode/scan-json.ts';
import { JsonPositions } from './json-positions.ts';

/** A schema document as plain values. */
export interface DocumentText {
  /** Undefined: the text cannot be read; `problems` says why. */
  readonly value: unknown;
  readonly problems: readonly DocumentProblem[];
  /** A problem at the value of a path, or with `at: 'key'` at its name. */
  problem(
    severity: DocumentProblem['severity'],
    path: Path,
    code: string,
    message: string,
    at?: 'key',
  ): DocumentProblem;
}

/**
 * Reads a schema document, YAML 1.2 or JSON. Bounds: MAX_SCHEMA_DOCUMENT_BYTES, and the depth, size and
 * aliases of any YAML that Lateral reads. Duplicate keys are errors.
 */
export function readDocumentText(text: string): DocumentText {
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_SCHEMA_DOCUMENT_BYTES) {
    const message = `document of ${bytes} bytes exceeds the limit of ${MAX_SCHEMA_DOCUMENT_BYTES}`;
    return unreadable([{ line: 1, column: 1, severity: 'error', code: 'document_too_large', message }]);
  }
  // JSON is read a hundred times faster as JSON than as YAML, of which it is a subset.
  const isJson =
    scanJson(text, { maxDepth: MAX_DEPTH, denyDuplicateKeys: true, denyInexactIntegers: false }) === undefined;
  return isJson ? readJsonText(text) : readYamlText(text);
}

function unreadable(problems: readonly DocumentProblem[]): DocumentText {
  return {
    value: undefined,
    problems,
    problem: (severity, _path, code, message) => ({ line: 1, column: 1, severity, code, message }),
  };
}

function readJsonText(text: string): DocumentText {
  const value: unknown = JSON.parse(text);
  let positions: JsonPositions | undefined;
  return {
    value,
    problems: [],
    problem(severity, path, code, message, at) {
      positions ??= new JsonPositions(text);
      return { ...positions.at(path, at), severity, code, message };
    },
  };
}

function readYamlText(text: string): DocumentText {
  const lines = new LineCounter();
  // The package's own search for duplicate keys is quadratic; `nodeToValue` finds them.
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: false, version: '1.2', merge: false });
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const problems: DocumentProblem[] = [];
  const report = (offset: number, code: string, message: string) => {
    problems.push({ ...at(offset), severity: 'error', code, message });
  };
  for (const fault of [...document.errors, ...document.warnings]) {
    report(fault.pos[0], 'yaml_syntax', fault.message.split('\n', 1)[0] ?? '');
  }
  const value = problems.length > 0 ? undefined : nodeToValue(document.contents, report);
  return {
    value,
    problems,
    problem: (severity, path, code, message, where) => ({
      ...at(nodeOffset(document.contents, path, where)),
      severity,
      code,
      message,
    }),
  };
}
