import applicator from 'ajv/dist/refs/json-schema-2020-12/meta/applicator.json' with { type: 'json' };
import content from 'ajv/dist/refs/json-schema-2020-12/meta/content.json' with { type: 'json' };
import core from 'ajv/dist/refs/json-schema-2020-12/meta/core.json' with { type: 'json' };
import annotation from 'ajv/dist/refs/json-schema-2020-12/meta/format-annotation.json' with { type: 'json' };
import metadata from 'ajv/dist/refs/json-schema-2020-12/meta/meta-data.json' with { type: 'json' };
import unevaluated from 'ajv/dist/refs/json-schema-2020-12/meta/unevaluated.json' with { type: 'json' };
import assertion from 'ajv/dist/refs/json-schema-2020-12/meta/validation.json' with { type: 'json' };
import draft202012 from 'ajv/dist/refs/json-schema-2020-12/schema.json' with { type: 'json' };
import draft04 from 'ajv-draft-04/dist/refs/json-schema-draft-04.json' with { type: 'json' };

/**
 * The meta-schemas that schemas may refer to, in one file of data: a sidecar that judges no bodies reads documents, and loads nothing of
 * Ajv for it.
 */
export function metaSchemasFile(): string {
  const all = [draft04, draft202012, applicator, content, core, annotation, metadata, unevaluated, assertion];
  return `${JSON.stringify(all, null, 2)}\n`;
}
