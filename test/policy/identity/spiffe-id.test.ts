import t from 'tap';
import { MAX_SPIFFE_ID_BYTES, parseSpiffeId } from '#policy/identity/spiffe-id.ts';

t.test('a well-formed ID is taken apart', (t) => {
  t.same(parseSpiffeId('spiffe://cluster.local/ns/shop/sa/web'), {
    kind: 'valid',
    id: {
      uri: 'spiffe://cluster.local/ns/shop/sa/web',
      trustDomain: 'cluster.local',
      namespace: 'shop',
      serviceAccount: 'web',
      principal: 'cluster.local/ns/shop/sa/web',
    },
  });
  t.end();
});

t.test('a malformed ID is refused with the part that is wrong', (t) => {
  const table: readonly (readonly [uri: string, reason: string])[] = [
    ['cluster.local/ns/shop/sa/web', 'does not begin with spiffe://'],
    ['SPIFFE://cluster.local/ns/shop/sa/web', 'does not begin with spiffe://'],
    ['spiffe:///ns/shop/sa/web', 'has an empty trust domain'],
    ['spiffe://Cluster.local/ns/shop/sa/web', 'has a trust domain with a character other than a-z, 0-9, ".", "_", "-"'],
    [
      'spiffe://cluster.local:80/ns/shop/sa/web',
      'has a trust domain with a character other than a-z, 0-9, ".", "_", "-"',
    ],
    [
      'spiffe://user@cluster.local/ns/shop/sa/web',
      'has a trust domain with a character other than a-z, 0-9, ".", "_", "-"',
    ],
    ['spiffe://cluster.local', 'has no path; expected /ns/NAMESPACE/sa/SERVICEACCOUNT'],
    ['spiffe://cluster.local/', 'has an empty path segment'],
    ['spiffe://cluster.local/ns/shop/sa/web/', 'has an empty path segment'],
    ['spiffe://cluster.local/ns//sa/web', 'has an empty path segment'],
    ['spiffe://cluster.local/ns/../sa/web', 'has a dot segment in its path'],
    ['spiffe://cluster.local/ns/shop/sa/w%65b', 'its path has a character other than letters, digits, ".", "_", "-"'],
    ['spiffe://cluster.local/ns/shop/sa/web?x', 'its path has a character other than letters, digits, ".", "_", "-"'],
    ['spiffe://cluster.local/ns/shop', 'its path is not of the form /ns/NAMESPACE/sa/SERVICEACCOUNT'],
    ['spiffe://cluster.local/ns/shop/sa/web/x', 'its path is not of the form /ns/NAMESPACE/sa/SERVICEACCOUNT'],
    [
      `spiffe://cluster.local/ns/shop/sa/${'w'.repeat(MAX_SPIFFE_ID_BYTES)}`,
      `longer than ${MAX_SPIFFE_ID_BYTES} bytes`,
    ],
    [`spiffe://${'d'.repeat(256)}/ns/shop/sa/web`, 'has a trust domain longer than 255 bytes'],
  ];
  for (const [uri, reason] of table)
    t.same(parseSpiffeId(uri), { kind: 'invalid', reason: `SPIFFE ID ${reason}` }, uri.slice(0, 60));
  t.end();
});
