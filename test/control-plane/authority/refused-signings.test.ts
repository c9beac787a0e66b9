import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { chmod, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Metadata } from '@grpc/grpc-js';
import t, { type Test } from 'tap';
import { openAuthorityDirectory } from '#control-plane/authority/authority-directory.ts';
import { ISSUER_LIFETIME_MS } from '#control-plane/authority/authority-store.ts';
import { issueOperatorToken } from '#control-plane/tokens/issue-token.ts';
import { openTokenStore, type TokenStore } from '#control-plane/tokens/token-store.ts';
import type { Code } from '#policy/error/codes.ts';
import type { Workload } from '#policy/workload-policy.ts';
import { createCertificateRequest } from '#policy/x509/certificate-request.ts';
import { AuthorityService, type SignResponse } from '#proto/gen/lateral/v1/authority.ts';
import { bearing, callCode, callFailure, openControlConnection } from '#sidecar/control/control-endpoint.ts';
import type { Credentials } from '#sidecar/identity/credentials.ts';
import {
  allowPolicy,
  ControlPlaneFixture,
  eventually,
  MESH,
  ORDERS,
  SidecarFixture,
} from '../control-plane-fixture.ts';
import { requestFor } from './certificate-request-with.ts';

const HOUR_MS = 3_600_000;
const IDENTITY = 'spiffe://cluster.local/ns/shop/sa/orders';
const grant = (serviceAccount = 'orders', namespace = 'shop') => ({
  namespace,
  serviceAccount,
  isReusable: false,
  expiresAtMs: Date.now() + HOUR_MS,
});

class WithoutTokens extends ControlPlaneFixture {
  override get configuration() {
    return { ...super.configuration, tokenDirectory: undefined };
  }
}

interface Running {
  readonly fixture: ControlPlaneFixture;
  readonly store: TokenStore;
}

/** A test with a control plane, which ends before the test's directory is taken away. */
function testOf(
  title: string,
  body: (t: Test, running: Running) => Promise<void>,
  made: (directory: string) => ControlPlaneFixture = (directory) => new ControlPlaneFixture(directory),
): void {
  t.test(title, async (t) => {
    const fixture = made(t.testdir());
    await fixture.writePolicy('a.yaml', allowPolicy('a', 'web'));
    await fixture.start();
    try {
      await body(t, { fixture, store: await openTokenStore(join(fixture.directory, 'state', 'tokens'), Date.now) });
    } finally {
      await fixture.stop();
    }
  });
}

/** What the control plane says of the refusals so far. */
function signingRefusals(fixture: ControlPlaneFixture) {
  return fixture.events.filter(({ event }) => event === 'signing_refused').map(({ fields }) => fields);
}

interface TokenRow {
  readonly title: string;
  readonly code: Code;
  readonly reason: RegExp;
  /** The text that the sidecar is given. */
  readonly token: (store: TokenStore, fixture: ControlPlaneFixture) => Promise<string>;
  readonly workload?: Workload;
}

const TOKEN_ROWS: readonly TokenRow[] = [
  {
    title: 'what is no token',
    code: 'token_malformed',
    reason: /not of the form of a token/,
    token: async () => 'rubbish',
  },
  {
    title: 'two tokens',
    code: 'token_malformed',
    reason: /not of the form "Bearer TOKEN"/,
    token: async (store) => `${await store.issue(grant())} ${await store.issue(grant())}`,
  },
  {
    title: 'a token that nobody issued',
    code: 'token_unknown',
    reason: /unknown here/,
    token: async () => `lateral.${'0'.repeat(32)}.${'A'.repeat(43)}`,
  },
  {
    title: 'a guess at the secret of a token that was used',
    code: 'token_unknown',
    reason: /unknown here/,
    async token(store) {
      const token = await store.issue(grant());
      await store.consume(token);
      return `${token.slice(0, token.lastIndexOf('.') + 1)}${randomBytes(32).toString('base64url')}`;
    },
  },
  {
    title: 'a reused token',
    code: 'token_used',
    reason: /was used already/,
    async token(store) {
      const token = await store.issue(grant());
      await store.consume(token);
      return token;
    },
  },
  {
    title: 'an expired token',
    code: 'token_expired',
    reason: /expired at/,
    token: (store) => store.issue({ ...grant(), expiresAtMs: Date.now() - 1 }),
  },
  {
    title: 'a revoked token',
    code: 'token_revoked',
    reason: /was revoked/,
    async token(store) {
      const token = await store.issue({ ...grant(), isReusable: true });
      await store.revoke(token.split('.')[1] ?? '');
      return token;
    },
  },
  {
    title: "a token for another audience, an operator's",
    code: 'token_wrong_kind',
    reason: /operator's token, which proves no workload/,
    token: (_, { configuration }) => issueOperatorToken(configuration, undefined),
  },
  {
    title: 'a token of another identity',
    code: 'identity_mismatch',
    reason: /is for .*\/sa\/payments, and the sidecar expects .*\/sa\/orders/,
    token: (store) => store.issue(grant('payments')),
  },
  {
    title: "a token for the control plane's own identity",
    code: 'identity_reserved',
    reason: /own identity is never signed/,
    token: (store) => store.issue(grant('control-plane', 'lateral-system')),
    workload: { ...ORDERS, namespace: 'lateral-system', serviceAccount: 'control-plane' },
  },
  {
    title: 'a token whose record others could have written',
    code: 'signing_failed',
    reason: /its log says why/,
    async token(store, { configuration }) {
      const token = await store.issue(grant());
      await chmod(join(configuration.tokenDirectory ?? '', `${token.split('.')[1]}.json`), 0o666);
      return token;
    },
  },
];

for (const { title, code, reason, token, workload } of TOKEN_ROWS) {
  testOf(`${title}: ${code}, as both sides say`, async (t, { fixture, store }) => {
    const text = await token(store, fixture);
    const tokenFile = join(fixture.directory, 'token');
    await writeFile(tokenFile, text);
    const sidecar = new SidecarFixture(fixture);
    const ending = new AbortController();
    const joining = sidecar.connect({
      tokenFile,
      signal: ending.signal,
      ...(workload === undefined ? {} : { workload }),
    });
    joining.catch(() => {}); // told to end below
    const waiting = () => sidecar.events.find(({ event }) => event === 'waiting_for_certificate')?.fields;
    await eventually('the sidecar says why', () => waiting() !== undefined);
    ending.abort();
    await t.rejects(joining);
    t.match(waiting(), { code, reason });
    t.match(signingRefusals(fixture)[0], { code, reason, peer: /^127\.0\.0\.1:/ });
    if (code !== 'signing_failed') t.notOk(fixture.events.some(({ event }) => event === 'signing_failed'));
    t.notOk(fixture.events.some(({ event }) => event === 'certificate_signed'));
    const secret = text.split('.')[2] ?? text;
    t.notOk(JSON.stringify([fixture.events, sidecar.events]).includes(secret), 'no log has the secret');
  });
}

testOf(
  'without tokens.directory no join token is taken: tokens_not_taken',
  async (t, { fixture, store }) => {
    const token = await store.issue(grant());
    t.match(await sign(t, fixture, { token }), { code: 'tokens_not_taken', reason: /takes no join tokens/ });
    t.match(signingRefusals(fixture), [{ code: 'tokens_not_taken' }]);
  },
  (directory) => new WithoutTokens(directory),
);

interface Asked {
  readonly csr?: Buffer;
  readonly expectedIdentity?: string;
  readonly token?: string;
  readonly credentials?: Credentials;
}

/** A call to Sign by hand, as a sidecar reads its refusal; an answer: code `signed`. */
async function sign(t: Test, fixture: ControlPlaneFixture, asked: Asked) {
  const endpoint = {
    address: `127.0.0.1:${fixture.port}`,
    trustBundlePem: fixture.running?.trustBundlePem ?? '',
    mesh: MESH,
  };
  const client = openControlConnection(endpoint, asked.credentials);
  t.teardown(() => client.close());
  const { path, requestSerialize, responseDeserialize } = AuthorityService.sign;
  const { csr = requestFor(), expectedIdentity = IDENTITY, token } = asked;
  const metadata = token === undefined ? new Metadata() : bearing(token);
  return new Promise<{
    readonly code?: string;
    readonly reason?: string;
    readonly response?: SignResponse | undefined;
  }>((resolve) => {
    const request = { csr, expectedIdentity };
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, metadata, (error, response) => {
      resolve(error === null ? { code: 'signed', response } : { ...callCode(error), reason: callFailure(error) });
    });
  });
}

const pair = (namedCurve = 'P-256') => generateKeyPairSync('ec', { namedCurve });
const [own, other, large] = [pair(), pair(), pair('P-521')];

const REQUEST_ROWS: readonly { title: string; code: Code | 'signed'; reason?: RegExp; csr: Buffer }[] = [
  { title: 'nothing', code: 'csr_malformed', reason: /cannot be read/, csr: Buffer.alloc(0) },
  { title: 'bytes that are no DER', code: 'csr_malformed', reason: /cannot be read/, csr: randomBytes(300) },
  {
    title: 'one that is cut short',
    code: 'csr_malformed',
    reason: /cannot be read/,
    csr: requestFor().subarray(0, -1),
  },
  { title: 'one with a byte too many', code: 'csr_malformed', csr: Buffer.concat([requestFor(), Buffer.of(0)]) },
  {
    title: 'one that is too large',
    code: 'csr_malformed',
    reason: /exceed the limit of/,
    csr: Buffer.alloc(9_000, 0x30),
  },
  {
    title: 'one signed by another key',
    code: 'csr_signature_invalid',
    reason: /does not verify under its own key/,
    csr: createCertificateRequest(own.publicKey, other.privateKey),
  },
  { title: 'one that was signed otherwise than it says', code: 'csr_signature_invalid', csr: bentSignature() },
  { title: 'a key of RSA', code: 'csr_key_not_accepted', reason: /named curve P-256 or P-384/, csr: rsaRequest() },
  {
    title: 'a key of another curve',
    code: 'csr_key_not_accepted',
    csr: createCertificateRequest(large.publicKey, large.privateKey),
  },
  {
    title: 'one that asks for another identity',
    code: 'csr_identity_mismatch',
    reason: /asks for "spiffe:\/\/cluster\.local\/ns\/shop\/sa\/payments", and the token is for .*\/sa\/orders/,
    csr: requestFor({ uris: ['spiffe://cluster.local/ns/shop/sa/payments'] }),
  },
  {
    title: 'one that asks for the own identity and another',
    code: 'csr_identity_mismatch',
    csr: requestFor({ uris: [IDENTITY, 'spiffe://cluster.local/ns/lateral-system/sa/control-plane'] }),
  },
  { title: 'one that asks for the own identity', code: 'signed', csr: requestFor({ uris: [IDENTITY] }) },
  {
    title: 'one that asks to be an authority of a DNS name',
    code: 'signed',
    csr: requestFor({ dnsNames: ['*.com'], isAuthority: true }),
  },
];

for (const { title, code, reason, csr } of REQUEST_ROWS) {
  testOf(`a certificate request, ${title}: ${code}`, async (t, { fixture, store }) => {
    const token = await store.issue(grant());
    const answer = await sign(t, fixture, { csr, token });
    t.match(answer, { code, ...(reason === undefined ? {} : { reason }) });
    if (code === 'signed') {
      const [leaf = Buffer.alloc(0)] = answer.response?.certificateChain ?? [];
      t.notOk(leaf.includes('.com'), 'nothing of what was asked is in it');
      return;
    }
    t.match(signingRefusals(fixture), [{ code, reason: answer.reason }], 'the control plane says the same');
    t.equal((await sign(t, fixture, { token })).code, 'signed', 'the token is as good as before');
  });
}

testOf('who proves nothing, or what is not asked for: each its code', async (t, { fixture, store }) => {
  t.match(await sign(t, fixture, {}), { code: 'proof_missing', reason: /neither a join token nor a certificate/ });
  const connection = await new SidecarFixture(fixture).connect({ tokenFile: await fixture.token() });
  t.teardown(() => connection.close());
  const credentials = connection.credentials.current();
  const payments = 'spiffe://cluster.local/ns/shop/sa/payments';
  t.match(await sign(t, fixture, { credentials, expectedIdentity: payments }), {
    code: 'certificate_not_its_own',
    reason: /the certificate is for .*\/sa\/orders, and the sidecar expects .*\/sa\/payments/,
  });
  const csr = requestFor({ uris: [payments] });
  t.match(await sign(t, fixture, { credentials, csr }), {
    code: 'csr_identity_mismatch',
    reason: /the certificate is for/,
  });
  t.match(await sign(t, fixture, { credentials }), { code: 'signed' });
  t.strictSame(
    signingRefusals(fixture).map(({ code }) => code),
    ['proof_missing', 'certificate_not_its_own', 'csr_identity_mismatch'],
  );
  t.equal((await store.list()).length, 1);
});

testOf('of callers with one token at the same time the others are told token_used', async (t, { fixture, store }) => {
  const token = await store.issue(grant());
  const codes = (await Promise.all(Array.from({ length: 8 }, () => sign(t, fixture, { token })))).map(
    ({ code }) => code,
  );
  t.strictSame(codes.sort(), ['signed', ...Array.from({ length: 7 }, () => 'token_used')].sort());
});

t.test('a signing that fails on the side of the authority uses up no token', async (t) => {
  const fixture = new ControlPlaneFixture(t.testdir());
  await fixture.writePolicy('a.yaml', allowPolicy('a', 'web'));
  const directory = join(fixture.directory, 'state', 'ca');
  await openAuthorityDirectory(directory, MESH, Date.now() - ISSUER_LIFETIME_MS + 24 * HOUR_MS);
  await rm(join(directory, 'root-key.pem')); // nobody here can sign another issuer
  let aheadMs = 0;
  await fixture.start({ now: () => Date.now() + aheadMs });
  try {
    const store = await openTokenStore(join(fixture.directory, 'state', 'tokens'), Date.now);
    const token = await store.issue({ ...grant(), expiresAtMs: Date.now() + 72 * HOUR_MS });
    aheadMs = 25 * HOUR_MS;
    t.match(await sign(t, fixture, { token }), { code: 'signing_failed' });
    t.match(fixture.events.find(({ event }) => event === 'signing_failed')?.fields, { error: /has expired/ });
    aheadMs = 0;
    t.match(await sign(t, fixture, { token }), { code: 'signed' });
    t.match(await sign(t, fixture, { token }), { code: 'token_used' });
  } finally {
    await fixture.stop();
  }
});

testOf('a sidecar that renews hears the code too, and keeps its certificate', async (t, { fixture }) => {
  const tokenFile = await fixture.token();
  const sidecar = new SidecarFixture(fixture);
  let aheadMs = 0;
  const connection = await sidecar.connect({ tokenFile, now: () => Date.now() + aheadMs });
  t.teardown(() => connection.close());
  const first = connection.credentials.current();
  await fixture.stop();
  const at = new Date().toISOString();
  const revoked = { revokedIdentities: [{ id: IDENTITY, at }], revokedSerials: [] };
  const file = join(fixture.directory, 'state', 'ca', 'authority-state.json');
  await writeFile(file, JSON.stringify({ 'authority-state.json': revoked }), { mode: 0o600 });
  await fixture.start();
  aheadMs = 20 * HOUR_MS;
  const failed = () =>
    sidecar.events.find(({ event, fields }) => event === 'renewal_failed' && fields['code'] !== undefined);
  await eventually('it says why', () => failed() !== undefined, 20_000);
  t.match(failed()?.fields, { code: 'certificate_revoked', identity: IDENTITY });
  t.match(signingRefusals(fixture)[0], { code: 'certificate_revoked' });
  t.equal(connection.credentials.current(), first);
});

function bentSignature(): Buffer {
  const csr = Buffer.from(createCertificateRequest(own.publicKey, own.privateKey));
  const last = csr.length - 1;
  csr[last] = (csr[last] ?? 0) ^ 1;
  return csr;
}

function rsaRequest(): Buffer {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });
  return createCertificateRequest(publicKey, privateKey);
}

testOf('the directory of tokens is left as it was by all that is refused', async (t, { fixture, store }) => {
  const token = await store.issue(grant());
  const names = await readdir(fixture.configuration.tokenDirectory ?? '');
  await sign(t, fixture, { token, csr: Buffer.alloc(0) });
  await sign(t, fixture, { token, expectedIdentity: 'spiffe://cluster.local/ns/shop/sa/payments' });
  t.strictSame(await readdir(fixture.configuration.tokenDirectory ?? ''), names);
});
