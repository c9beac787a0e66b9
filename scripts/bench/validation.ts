import { apiValidationPolicyKind } from '../../policy/resource/kinds/api-validation-policy.ts';
import { compileValidation } from '../../policy/validation/compile-validation.ts';
import { generateValidators } from '../../policy/validation/generate-validators.ts';
import type { RequestParts, RequestValidation } from '../../policy/workload-policy.ts';
import { median, ordersApi, ordersOf } from './orders.ts';

/**
 * `node scripts/bench/validation.ts`: what it costs to hold a request against its description, by the size of its body and the number of
 * operations, in one run. It is what validation adds to a hop besides holding the body.
 */
const COUNTS = [1, 100, 2_500] as const;
const BODIES = [0, 1_000, 64_000] as const;
const BATCHES = 25;
const BATCH_MS = 20;
/** What issue and contract allow, in microseconds. */
const LIMITS_US: { readonly [bytes: number]: number } = { 1000: 15, 64000: 700 };

interface Sample {
  readonly operations: number;
  readonly bytes: number;
  readonly validation: RequestValidation;
  readonly request: RequestParts;
  readonly body: Buffer;
  readonly microseconds: number[];
}

const samples = (await Promise.all(COUNTS.map(samplesOf))).flat();
for (const sample of samples) run(sample, BATCH_MS * 10);
// All take turns: what disturbs one disturbs all.
for (let batch = 0; batch < BATCHES; batch++) {
  for (const sample of samples) sample.microseconds.push(run(sample, BATCH_MS));
}
for (const { operations, bytes, microseconds } of samples) {
  const limit = LIMITS_US[bytes];
  const held = limit === undefined ? '' : `, the limit is ${limit}`;
  process.stdout.write(
    `${String(operations).padStart(5)} operations, body of ${String(bytes).padStart(5)} bytes: ${median(microseconds).toFixed(1)} us${held}\n`,
  );
}

async function samplesOf(operations: number): Promise<readonly Sample[]> {
  const validation = await validationOf(operations);
  return BODIES.map((bytes) => {
    const body = ordersOf(bytes);
    const path = `/orders-${operations - 1}/7`;
    const headers = ['host', 'orders.shop', 'content-type', 'application/json', 'accept', '*/*'];
    const hasBody = bytes > 0;
    const method = hasBody ? 'POST' : 'GET';
    const request = {
      method,
      path,
      query: 'page=2',
      headers,
      hasBody,
      contentLength: hasBody ? body.length : undefined,
    };
    return { operations, bytes, validation, request, body, microseconds: [] };
  });
}

async function validationOf(operations: number): Promise<RequestValidation> {
  const document = ordersApi(operations);
  const resource = { apiVersion: 'lateral.dev/v1alpha1', namespace: 'shop', name: 'bench' };
  const spec = apiValidationPolicyKind.spec.read({ schemaRefs: ['bench'], mode: 'Enforce' }, [], {
    fail() {},
    warn() {},
  });
  if (spec === undefined) throw new Error('the policy cannot be read');
  const { validation, problems } = await compileValidation({
    policies: [{ ...resource, kind: 'APIValidationPolicy', spec }],
    schemas: [{ ...resource, kind: 'APISchema', spec: { openapi: { inline: JSON.stringify(document) } } }],
    generate: generateValidators,
  });
  if (validation === undefined || problems.length > 0) throw new Error(problems.join('; '));
  return validation;
}

/** Microseconds a request. */
function run({ validation, request, body }: Sample, milliseconds: number): number {
  const begun = performance.now();
  let count = 0;
  do {
    const { findings, body: plan } = validation.judgeHead(request);
    if (findings.length > 0 || (plan?.judge(body).length ?? 0) > 0) throw new Error('a request was refused');
    count += 1;
  } while (performance.now() - begun < milliseconds);
  return ((performance.now() - begun) / count) * 1000;
}
