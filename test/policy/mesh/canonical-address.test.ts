import { SocketAddress } from 'node:net';
import fc from 'fast-check';
import t from 'tap';
import { canonicalAddress, ipv6Text } from '#policy/mesh/canonical-address.ts';

t.test('an address is written in one way', (t) => {
  const spellings = {
    '10.0.0.1': '10.0.0.1',
    'Orders.Shop': 'orders.shop',
    'FD00:0::0001': 'fd00::1',
    '::': '::',
    '::1': '::1',
    'fe80::': 'fe80::',
    '1:2:3:4:5:6:7:8': '1:2:3:4:5:6:7:8',
    '1:0:3:4:5:6:7:8': '1:0:3:4:5:6:7:8',
    '2001:db8:0:0:1:0:0:1': '2001:db8::1:0:0:1',
    '::ffff:10.0.0.1': '::ffff:a00:1',
    '1:2': '1:2',
  };
  for (const [given, wanted] of Object.entries(spellings)) t.equal(canonicalAddress(given), wanted, given);
  t.end();
});

t.test('it is the same as the system writes', (t) => {
  const group = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 0xffff }));
  fc.assert(
    fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
      const text = groups.map((value) => value.toString(16)).join(':');
      const { address } = new SocketAddress({ address: text, family: 'ipv6' });
      return canonicalAddress(text) === ipv6Text(groups) && canonicalAddress(address) === ipv6Text(groups);
    }),
  );
  t.end();
});
