import t from 'tap';
import { SubscribeRequest, SubscribeResponse } from '#proto/gen/lateral/v1/discovery.ts';

/** Field 99, of two bytes: what a version knows that is newer than this one. */
const UNKNOWN_FIELD = Buffer.of(0x9a, 0x06, 0x02, 0x08, 0x01);

t.test('a message that only a newer sidecar or control plane knows is read as none, and passed over', async (t) => {
  t.equal(SubscribeRequest.decode(UNKNOWN_FIELD).message, undefined);
  t.equal(SubscribeResponse.decode(UNKNOWN_FIELD).message, undefined);
});

t.test('what a sidecar says of itself travels whole, and fields that a newer one adds do not hinder', async (t) => {
  const vitals = {
    certificateExpiresAtMs: 1_800_000_000_000,
    certificateSerial: 'ab01',
    lastRenewalAtMs: 1_700_000_000_000,
    renewalFailures: 3,
    failureCode: 'unavailable',
    failureReason: 'nothing listens there',
    failedAtMs: 1_700_000_000_001,
    trustedRoots: ['f'.repeat(64)],
    plaintextCallers: [],
    plaintextSinceMs: 0,
  };
  const sent = SubscribeRequest.encode({ message: { $case: 'vitals', value: vitals } }).finish();
  const read = SubscribeRequest.decode(Buffer.concat([sent, UNKNOWN_FIELD]));
  t.match(read.message, { $case: 'vitals', value: vitals });
});
