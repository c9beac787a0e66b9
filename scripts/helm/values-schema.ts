import { FEDERATION } from '#control-plane/federation/federation-configuration.ts';
import { MAX_CONNECTIONS } from '#control-plane/grpc/grpc-gate.ts';
import { meshDefaultsKind } from '#policy/resource/kinds/mesh-defaults.ts';
import { MAX_TRUST_DOMAIN_ALIASES } from '#policy/resource/kinds/trust-bundle.ts';
import { isRecord, type JsonSchema } from '#policy/schema/schema.ts';

const text: JsonSchema = { type: 'string' };
const name: JsonSchema = { type: 'string', minLength: 1, maxLength: 253 };
const flag: JsonSchema = { type: 'boolean' };
const port: JsonSchema = { type: 'integer', minimum: 1, maximum: 65_535 };
const failurePolicy: JsonSchema = { enum: ['Fail', 'Ignore'] };
const duration: JsonSchema = { type: 'string', pattern: '^[0-9]{1,9}[smhd]$' };
const labels: JsonSchema = { type: 'object', additionalProperties: text };
/** What Kubernetes defines, and checks itself. */
const mapping: JsonSchema = { type: 'object' };
const quantities: JsonSchema = { type: 'object', additionalProperties: { type: ['string', 'number'] } };
const resources = closed({ requests: quantities, limits: quantities });

/** The chart's values.schema.json: a value that is not here is refused, so that a misspelt one is. */
export function valuesSchema(): JsonSchema {
  const properties = {
    // helm gives it to every chart that is part of another
    global: mapping,
    image: closed({
      repository: { type: 'string', minLength: 1 },
      tag: text,
      pullPolicy: { enum: ['Always', 'IfNotPresent', 'Never'] },
    }),
    imagePullSecrets: { type: 'array', items: closed({ name }, ['name']) },
    trustDomain: { type: 'string', pattern: '^[a-z0-9._-]{1,255}$' },
    trustDomainAliases: {
      type: 'array',
      maxItems: MAX_TRUST_DOMAIN_ALIASES,
      items: { type: 'string', pattern: '^[a-z0-9._-]{1,255}$' },
    },
    clusterDomain: { type: 'string', pattern: '^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$', maxLength: 253 },
    meshDefaults: closedForm(meshDefaultsKind.spec.json),
    replicas: { type: 'integer', minimum: 1, maximum: 100 },
    authority: closed({
      secretName: { type: 'string', maxLength: 253 },
      leafLifetime: duration,
      clockSkew: duration,
      keyEncryption: closed({ secretName: text, key: name }),
    }),
    federation: closedForm(FEDERATION.json),
    bundleEndpoint: closed({ enabled: flag }),
    telemetry: closed({
      otlp: { type: 'string', pattern: '^(https?://[^/\\s]+)?$' },
      // `--set` gives helm a number with a point as text
      sampleRatio: { type: ['number', 'string'], minimum: 0, maximum: 1, pattern: '^(0(\\.[0-9]+)?|1(\\.0+)?)$' },
    }),
    injection: closed({
      failurePolicy,
      nativeSidecar: { enum: ['auto', 'always', 'never'] },
      drainSeconds: { type: 'integer', minimum: 0, maximum: 300 },
      preStopSeconds: { type: 'integer', minimum: 0, maximum: 300 },
    }),
    sidecar: closed({ accessLog: { enum: ['stdout', 'off'] }, resources }),
    init: closed({ resources }),
    validation: closed({ failurePolicy, istio: flag }),
    status: closed({ istio: flag, routes: flag }),
    crds: closed({ install: flag, keep: flag }),
    resources,
    nodeSelector: labels,
    tolerations: { type: 'array', items: mapping },
    affinity: mapping,
    priorityClassName: text,
    podAnnotations: labels,
    networkPolicy: closed({ enabled: flag }),
    listen: closed({ connectionsOfAddress: { type: 'integer', minimum: 1, maximum: MAX_CONNECTIONS } }),
    gatewayApi: closed({
      enabled: flag,
      parentRefs: {
        type: 'array',
        maxItems: 32, // as TLSRoute has it
        items: closed({ group: text, kind: name, name, namespace: name, sectionName: name, port }, ['name']),
      },
      version: { enum: ['', 'v1', 'v1alpha3', 'v1alpha2'] },
      gateway: closed({ create: flag, className: { type: 'string', maxLength: 253 }, port }),
    }),
    podMonitor: closed({ enabled: flag, interval: { type: 'string', pattern: '^[0-9]+(ms|s|m|h)$' }, labels }),
    dashboards: closed({ enabled: flag, labels }),
  };
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Values of the chart lateral',
    ...closed(properties),
  };
}

export function valuesSchemaFile(): string {
  return `${JSON.stringify(valuesSchema(), null, 2)}\n`;
}

function closed(properties: JsonSchema, required: readonly string[] = []): JsonSchema {
  return { type: 'object', additionalProperties: false, ...(required.length === 0 ? {} : { required }), properties };
}

/** A schema of ours as plain JSON Schema in which unknown and planned fields are errors, as they are to the reader. */
export function closedForm(schema: JsonSchema): JsonSchema {
  const plain = Object.entries(schema).filter(([key]) => !key.startsWith('x-') && key !== 'default');
  const { properties, items, additionalProperties, ...rest } = Object.fromEntries(plain);
  const made: { [key: string]: unknown } = rest;
  if (isRecord(properties)) {
    const known = Object.entries(properties).flatMap(([key, field]) =>
      isRecord(field) && field['x-lateral-planned'] !== true ? [[key, closedForm(field)]] : [],
    );
    made['properties'] = Object.fromEntries(known);
    made['additionalProperties'] = false;
  }
  if (isRecord(items)) made['items'] = closedForm(items);
  if (isRecord(additionalProperties)) made['additionalProperties'] = closedForm(additionalProperties);
  return made;
}
