import t from 'tap';
import { isCredential } from '#policy/http/is-credential.ts';
import { isSecretName } from '#policy/http/is-secret-name.ts';
import { redactQuery } from '#sidecar/telemetry/redact.ts';

const LENGTH = 60_000;
/** What squares with the length takes seconds; this takes a millisecond or two. */
const MOST_MS = 100;

/** Texts that make patterns go back and forth. */
const HOSTILE = ['a', 'ey', '1', '1 ', '@', 'a@', 'a@a', '.', 'a.', 'ey-.', '%61', '+', 'basic', 'bearer'].map((part) =>
  part.repeat(LENGTH / part.length),
);

t.test('what a caller writes cannot make redaction slow', async (t) => {
  const inTime = (what: string, run: () => unknown) => {
    const startedAt = performance.now();
    run();
    const tookMs = performance.now() - startedAt;
    t.ok(tookMs < MOST_MS, `${what}: ${tookMs} ms`);
  };
  for (const text of HOSTILE) {
    const what = text.slice(0, 8);
    inTime(`the value ${what}`, () => redactQuery(`q=${text}`));
    inTime(`the value ${what} with an end`, () => redactQuery(`q=${text}!`));
    inTime(`the name ${what}`, () => redactQuery(`${text}!=1`));
    inTime(`the pair ${what}`, () => redactQuery(text));
    inTime(`many ${what}`, () => redactQuery(text.replaceAll(/(.{50})/g, '$1&')));
    inTime(`a header named ${what}`, () => isSecretName(`${text}a`));
    inTime(`a header of ${what}`, () => isCredential(`${text} `));
  }
});

t.test('values that are secret or personal are told by no name and no place', async (t) => {
  const token = 'eyJhbGciOiJub25lIn0.e30.';
  const secret = [
    'ann@example.com',
    'x ann@example.com,',
    '4111 1111 1111 1111',
    '4111-1111-1111-1',
    token,
    `x_${token}`,
  ];
  secret.push('Bearer x', 'a@b@example.org');
  for (const value of secret) {
    t.equal(redactQuery(`a=1&q=${encodeURIComponent(value)}&b=2`), 'a=1&q=[redacted]&b=2', value);
    t.equal(redactQuery(`${encodeURIComponent(value)}&b=2`), '[redacted]&b=2', value);
  }
  for (const value of ['ann@example', '@example.com', '411111111111', 'eyJh', 'eyJhbGciOiJub25lIn0', 'bearers'])
    t.equal(redactQuery(`q=${encodeURIComponent(value)}`), `q=${encodeURIComponent(value)}`, value);
  for (const value of [token, `a ${token}`, 'Basic eDp5', 'bearer x', `ey.${token}`])
    t.equal(isCredential(value), true, value);
  for (const value of ['basics', 'ann@example.com', 'ey.e30', 'they.went', 'keyboards.x', 'eyJhbGciOiJub25lIn0.'])
    t.equal(isCredential(value), value === 'keyboards.x' ? false : value.startsWith('Basic'), value);
  for (const name of ['key1', 'x-api-key', 'Token2', 'sid', 'pin4']) t.equal(isSecretName(name), true, name);
  for (const name of ['keys', 'pinned', '2', 'x-1', 'spin']) t.equal(isSecretName(name), false, name);
});

t.test('a long query is cut where no secret can be cut with it', async (t) => {
  const shown = redactQuery(`a=${'b'.repeat(2_000)}&email=ann%40example.com&x=1`);
  t.equal(shown, `a=${'b'.repeat(2_000)}&email=[redacted]&x=1`);
  const cut = redactQuery(`a=${'b'.repeat(2_030)}&email=ann%40example.com&x=1`);
  t.match(cut, /^a=b{2030}&/);
  t.match(cut, /…$/);
  t.notMatch(cut, 'ann');
  t.match(redactQuery(`a=${'b'.repeat(LENGTH)}&c=1`), /…$/);
});
