import { DocumentValidators } from '../../policy/validation/instantiate-validators.ts';
import { compileDescriptorSet } from '../../policy/validation/protobuf/compile-descriptor-set.ts';
import { loadRules, type MessageJudge } from '../../policy/validation/protobuf/judge-message.ts';
import { renewWork } from '../../policy/validation/schema/work-budget.ts';
import { SHOP_PROTO, SHOP_PROTO_WITHOUT_RULES, shopProto } from '../../test/support/shop-proto.ts';

/**
 * `node scripts/bench/grpc-messages.ts`: what it costs to hold a message of a gRPC call against its type, without rules and with those of
 * `buf.validate`, in one run.
 */
const ITEMS = [1, 20, 900] as const;
const BATCHES = 25;
const BATCH_MS = 20;

interface Sample {
  readonly title: string;
  readonly judge: MessageJudge;
  readonly type: number;
  readonly message: Buffer;
  readonly microseconds: number[];
}

await loadRules();
const samples = [
  ...(await samplesOf('without rules', SHOP_PROTO_WITHOUT_RULES)),
  ...(await samplesOf('with rules', SHOP_PROTO)),
];
for (const sample of samples) run(sample, BATCH_MS * 10);
// All take turns: what disturbs one disturbs all.
for (let batch = 0; batch < BATCHES; batch++) {
  for (const sample of samples) sample.microseconds.push(run(sample, BATCH_MS));
}
for (const { title, message, microseconds } of samples) {
  const median = microseconds.sort((left, right) => left - right)[BATCHES >> 1] ?? Number.NaN;
  process.stdout.write(`message of ${String(message.length).padStart(5)} bytes ${title}: ${median.toFixed(1)} us\n`);
}

async function samplesOf(title: string, source: string): Promise<readonly Sample[]> {
  const { set, encode } = await shopProto(source);
  const compiled = compileDescriptorSet(set);
  const judge = new DocumentValidators(compiled.units).messages(0);
  const type = compiled.operations[0]?.grpc?.request.messageType ?? -1;
  return ITEMS.map((count) => {
    const items = Array.from({ length: count }, (_, index) => ({ sku: `ABC-${index}`, quantity: 1 + (index % 10) }));
    return { title, judge, type, message: encode('Order', { id: 'a', items }), microseconds: [] };
  });
}

/** Microseconds a message. */
function run({ judge, type, message }: Sample, milliseconds: number): number {
  const begun = performance.now();
  let count = 0;
  do {
    renewWork();
    const judged = judge.judge(message, type, { unknownProperties: 'Deny' });
    if (judged !== undefined) throw new Error(judged.code);
    count += 1;
  } while (performance.now() - begun < milliseconds);
  return ((performance.now() - begun) / count) * 1000;
}
