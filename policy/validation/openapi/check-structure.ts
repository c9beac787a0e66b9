import schema30 from '@seriousme/openapi-schema-validator/schemas/v3.0/schema.json' with { type: 'json' };
import schema31 from '@seriousme/openapi-schema-validator/schemas/v3.1/schema.json' with { type: 'json' };
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { default as Ajv04 } from 'ajv-draft-04';
import { isRecord, type Path } from '../../schema/schema.ts';
import type { DocumentProblem } from '../api-model.ts';
import { type OpenApiVersion, readVersion } from '../schema/openapi-version.ts';
import type { DocumentText } from './openapi-text.ts';

/** Keywords by which a schema of alternatives says that none fits: the others say why. */
const OF_ALTERNATIVES: ReadonlySet<unknown> = new Set(['oneOf', 'anyOf', 'if', 'not']);

/**
 * What the official schema of OpenAPI says of a document that can be read: its first fault, in parts too that nothing is enforced by; undefined: none. Takes
 * a second for GitHub's.
 */
export function structureProblem({ value, problem }: DocumentText): DocumentProblem | undefined {
  const read = isRecord(value) ? readVersion(value) : undefined;
  if (read?.kind !== 'valid') return undefined;
  const validate = validatorOf(read.version);
  if (validate(value)) return undefined;
  const all: readonly unknown[] = validate.errors ?? [];
  const first = all.find(isCause) ?? all[0];
  if (!isRecord(first)) return undefined;
  const { instancePath, message } = first;
  const path = pathOf(typeof instancePath === 'string' ? instancePath : '', value);
  return problem('warning', path, 'not_openapi', `by the schema of OpenAPI: ${String(message ?? 'is not valid')}`);
}

const validators = new Map<OpenApiVersion, ValidateFunction>();

function validatorOf(version: OpenApiVersion): ValidateFunction {
  const known = validators.get(version);
  if (known !== undefined) return known;
  const options = { strict: false, validateFormats: false };
  const made =
    version === '3.0' ? new Ajv04.default(options).compile(schema30) : new Ajv2020(options).compile(schema31);
  validators.set(version, made);
  return made;
}

/** Not that something is no `$ref`, which every object might have been. */
function isCause(error: unknown): boolean {
  if (!isRecord(error) || OF_ALTERNATIVES.has(error.keyword)) return false;
  return !(isRecord(error.params) && error.params.missingProperty === '$ref');
}

/** Of a JSON Pointer: indices of lists are numbers. */
function pathOf(pointer: string, root: unknown): Path {
  const path: (string | number)[] = [];
  let at: unknown = root;
  for (const step of pointer.split('/').slice(1)) {
    const name = step.replaceAll('~1', '/').replaceAll('~0', '~');
    const key = Array.isArray(at) ? Number(name) : name;
    at = Array.isArray(at) ? at[Number(name)] : isRecord(at) ? at[name] : undefined;
    path.push(key);
  }
  return path;
}
