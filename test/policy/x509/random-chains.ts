import fc from 'fast-check';
import { CLIENT_AUTH, dns, ecPair, ext, SERVER_AUTH, time, uri } from './build-certificate.ts';
import { makeIssuer, makeLeaf, makeRoot, NOW_MS, type TestIssuer, WEB } from './mesh-certificates.ts';

const HOUR_MS = 3_600_000;
const CODE_SIGNING = '1.3.6.1.5.5.7.3.3';

/** Mostly good, so that whole chains are good often enough. */
const mostly = <T>(usual: T, ...others: readonly T[]) =>
  fc.oneof(
    { weight: 6, arbitrary: fc.constant(usual) },
    ...others.map((other) => ({ weight: 1, arbitrary: fc.constant(other) })),
  );

const times = mostly('now', 'past', 'future', 'now', 'now', 'now', 'now');
const usages = mostly<readonly string[] | undefined>(
  undefined,
  [CLIENT_AUTH],
  [SERVER_AUTH, CLIENT_AUTH],
  [SERVER_AUTH],
  [CODE_SIGNING],
);

/** `any usage` and constraints of URIs by less than the host are left out: there Go is more lenient than RFC 5280. */
const authority = fc.record({
  isAuthority: mostly(true, false),
  pathLength: mostly<number | undefined>(undefined, 0, 1, 2),
  keyUsage: mostly('signing', 'none', 'digitalSignature'),
  usages,
  constraints: mostly<readonly [readonly Buffer[], readonly Buffer[]] | undefined>(
    undefined,
    [[uri('cluster.local')], []],
    [[uri('.local')], []],
    [[uri('other.example'), uri('cluster.local')], []],
    [[uri('other.example')], []],
    [[], [uri('other.example')]],
    [[], [uri('cluster.local')]],
    [[dns('shop')], []],
    [[dns('example')], []],
    [[], [dns('web.shop')]],
  ),
  times,
  isSigned: mostly(true, true, true, true, true, true, false),
});

export const randomChain = fc.record({
  authorities: fc.array(authority, { maxLength: 3 }),
  leaf: fc.record({
    isAuthority: mostly(false, false, false, true),
    keyUsage: mostly('digitalSignature', 'none', 'signing'),
    usages,
    times,
    hasDns: fc.boolean(),
    isSigned: mostly(true, true, true, true, true, true, false),
  }),
  /** How many of the last authorities are left out, and whether the others are sent in the other order. */
  missing: mostly(0, 0, 0, 1),
  isReversed: fc.boolean(),
});

export type RandomChain = typeof randomChain extends fc.Arbitrary<infer T> ? T : never;

const pairs = Array.from({ length: 4 }, () => ecPair());
const stranger = ecPair();
export const randomRoot = makeRoot('Root', ecPair());

const validity = {
  now: {},
  past: { notBefore: time(NOW_MS - 2 * HOUR_MS), notAfter: time(NOW_MS - HOUR_MS) },
  future: { notBefore: time(NOW_MS + HOUR_MS), notAfter: time(NOW_MS + 2 * HOUR_MS) },
};
const keyUsage = { none: [], signing: [ext.signing()], digitalSignature: [ext.digitalSignature()] };

const signedBy = (issuer: TestIssuer, isSigned: boolean): TestIssuer =>
  isSigned ? issuer : { ...issuer, pair: stranger };
const extended = (oids: readonly string[] | undefined) => (oids === undefined ? [] : [ext.usages(...oids)]);

export function buildChain({ authorities, leaf, missing, isReversed }: RandomChain): Buffer[] {
  let above = randomRoot;
  const sent: Buffer[] = [];
  for (const [index, made] of authorities.entries()) {
    const extensions = [
      made.isAuthority ? ext.authority(made.pathLength) : ext.noAuthority(),
      ...keyUsage[made.keyUsage as keyof typeof keyUsage],
      ...extended(made.usages),
      ...(made.constraints === undefined ? [] : [ext.constraints(...made.constraints)]),
    ];
    const change = { extensions, ...validity[made.times as keyof typeof validity] };
    above = makeIssuer(signedBy(above, made.isSigned), `Authority ${index}`, change, pairs[index]);
    sent.unshift(above.certificate);
  }
  const others = sent.slice(0, sent.length - missing);
  if (isReversed) others.reverse();
  const extensions = [
    leaf.isAuthority ? ext.authority() : ext.noAuthority(),
    ...keyUsage[leaf.keyUsage as keyof typeof keyUsage],
    ...extended(leaf.usages),
    ext.names(uri(WEB), ...(leaf.hasDns ? [dns('web.shop')] : [])),
  ];
  const change = { extensions, ...validity[leaf.times as keyof typeof validity] };
  return [makeLeaf(signedBy(above, leaf.isSigned), change), ...others];
}
