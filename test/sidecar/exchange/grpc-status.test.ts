import t from 'tap';
import { Refusal } from '#policy/error/refusal.ts';
import { grpcStatusFields } from '#sidecar/exchange/grpc-status.ts';

/** The last field of a refusal with so many details of a message. */
function told(count: number, message: string): { readonly name: string | undefined; readonly bytes: Buffer } {
  const detail = { in: 'body', pointer: '/items/0/labels/a~1b', keyword: 'string.in', message } as const;
  const refusal = new Refusal('invalid_body', '', { tellsDetails: true, details: Array(count).fill(detail) });
  const [name, value = ''] = grpcStatusFields(refusal, 'id').slice(-2);
  return { name, bytes: Buffer.from(value, 'base64') };
}

t.test('details are told by the names of fields', (t) => {
  const { name, bytes } = told(1, 'must be in list');
  t.equal(name, 'grpc-status-details-bin');
  t.match(bytes.toString('latin1'), /items\[0\]\.labels\.a\/b.*must be in list.*string\.in/s);
  t.end();
});

t.test('details are as long as clients take metadata, 8 KiB in all, or are left out', (t) => {
  const { name, bytes } = told(10, 'x'.repeat(1_000));
  t.equal(name, 'grpc-status-details-bin');
  t.ok(bytes.length < 4_500);
  t.ok(bytes.length > 2_000, 'those that there is room for are told');
  t.not(told(1, 'x'.repeat(100_000)).name, 'grpc-status-details-bin');
  t.end();
});
