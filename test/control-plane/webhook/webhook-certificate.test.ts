import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  AUTHORITY_ANNOUNCEMENT_MS,
  AUTHORITY_LIFETIME_MS,
  CERTIFICATE_LIFETIME_MS,
  caBundleOf,
  notAfterMsOf,
  readWebhookCertificate,
  renewWebhookCertificate,
  type WebhookCertificate,
  writeWebhookCertificate,
} from '#control-plane/webhook/webhook-certificate.ts';
import { webhookNames } from '#control-plane/webhook/webhook-options.ts';
import { certificatesFromPem } from '#policy/x509/pem.ts';

const NAMES = webhookNames('lateral-system', 'cluster.local');
const DAY_MS = 86_400_000;
const START = Date.now();

/** What the next look finds in the Secret, `days` after the start. */
function renewed(held: WebhookCertificate | undefined, days: number, names = NAMES): WebhookCertificate {
  const stored = held === undefined ? undefined : readWebhookCertificate(writeWebhookCertificate(held));
  return renewWebhookCertificate(stored, names, START + days * DAY_MS);
}

function authoritiesIn(certificate: WebhookCertificate): X509Certificate[] {
  const pem = Buffer.from(caBundleOf(certificate), 'base64').toString();
  return certificatesFromPem(pem).map((der) => new X509Certificate(der));
}

/** True when a caller that knows these authorities trusts the certificate. */
function isTrusted({ certificate }: WebhookCertificate, by: WebhookCertificate): boolean {
  const leaf = new X509Certificate(certificate);
  return authoritiesIn(by).some((authority) => leaf.checkIssued(authority) && leaf.verify(authority.publicKey));
}

t.test('what is stored is read as it was written', async (t) => {
  const made = renewed(undefined, 0);
  const data = writeWebhookCertificate(made);
  t.same(Object.keys(data).sort(), ['ca.crt', 'ca.key', 'tls.crt', 'tls.key']);
  const read = readWebhookCertificate(data);
  t.equal(read?.certificate, made.certificate);
  t.equal(read && caBundleOf(read), caBundleOf(made));
  t.equal(read && renewWebhookCertificate(read, NAMES, START + DAY_MS), read, 'and nothing is to be done');
});

t.test('what is empty or does not fit together is made anew', async (t) => {
  const data = writeWebhookCertificate(renewed(undefined, 0));
  const other = writeWebhookCertificate(renewed(undefined, 0));
  t.equal(readWebhookCertificate({}), undefined);
  for (const key of Object.keys(data)) {
    t.equal(readWebhookCertificate({ ...data, [key]: Buffer.from('broken') }), undefined, `${key} broken`);
    t.equal(readWebhookCertificate({ ...data, [key]: other[key] ?? Buffer.alloc(0) }), undefined, `${key} of another`);
  }
});

t.test('the certificate is renewed at half of its life, and at once for other names', async (t) => {
  const first = renewed(undefined, 0);
  t.equal(notAfterMsOf(first), Math.floor((START + CERTIFICATE_LIFETIME_MS) / 1000) * 1000);
  t.equal(renewed(first, 44).certificate, first.certificate);
  const second = renewed(first, 46);
  t.not(second.certificate, first.certificate);
  t.equal(caBundleOf(second), caBundleOf(first), 'by the same authority');
  const other = renewed(first, 1, webhookNames('elsewhere', 'cluster.local'));
  t.ok(new X509Certificate(other.certificate).checkHost('lateral-control-plane.elsewhere.svc'));
});

t.test('a new authority is announced first, signs later, and the old one stays trusted to its end', async (t) => {
  let held = renewed(undefined, 0);
  for (let day = 1; day <= 244; day++) held = renewed(held, day);
  t.equal(authoritiesIn(held).length, 1);
  const before = held;
  const announced = renewed(before, 245);
  t.equal(authoritiesIn(announced).length, 2);
  t.ok(isTrusted(announced, before), 'an API server that has not heard yet trusts what is served');
  const minutes = (AUTHORITY_ANNOUNCEMENT_MS - 10 * 60_000) / DAY_MS;
  t.equal(renewed(announced, 245 + minutes).certificate, announced.certificate, 'not before it is known');
  const signed = renewed(announced, 246);
  t.not(signed.certificate, announced.certificate);
  t.ok(isTrusted(signed, announced));
  t.notOk(isTrusted(signed, before));
  const afterwards = renewed(signed, 364);
  t.equal(authoritiesIn(afterwards).length, 2);
  t.ok(isTrusted(before, afterwards), 'a replica that still serves the old one is trusted');
  t.equal(authoritiesIn(renewed(afterwards, AUTHORITY_LIFETIME_MS / DAY_MS + 1)).length, 1);
});

t.test('with one look a day for five years there is no hour without a certificate that is trusted', async (t) => {
  let held = renewed(undefined, 0);
  for (let day = 1; day <= 5 * 365; day++) {
    const next = renewed(held, day);
    const now = START + day * DAY_MS;
    const isGood = isTrusted(next, held) && isTrusted(held, next) && notAfterMsOf(held) > now;
    const ended = authoritiesIn(next).filter((one) => one.validToDate.getTime() <= now);
    if (!isGood || ended.length > 0) t.fail(`day ${day}`);
    held = next;
  }
  t.ok(notAfterMsOf(held) > START + 5 * 365 * DAY_MS);
});

t.test('after a year without a leader all is made anew', async (t) => {
  const late = renewed(renewed(undefined, 0), 400);
  t.ok(isTrusted(late, late));
  t.equal(authoritiesIn(late).length, 1);
});

t.test('openssl trusts it for the names of the Service, and no others', async (t) => {
  const folder = t.testdir();
  const held = renewed(undefined, 0);
  writeFileSync(join(folder, 'ca.pem'), Buffer.from(caBundleOf(held), 'base64'));
  writeFileSync(join(folder, 'tls.pem'), held.certificate);
  const verify = (name: string) =>
    spawnSync('openssl', [
      'verify',
      ...['-x509_strict', '-purpose', 'sslserver', '-verify_hostname', name],
      ...['-CAfile', join(folder, 'ca.pem'), join(folder, 'tls.pem')],
    ]);
  for (const name of NAMES) t.equal(verify(name).status, 0, verify(name).stderr.toString());
  t.not(verify('lateral-control-plane.other.svc').status, 0);
});

const hasGo = spawnSync('go', ['version']).status === 0;

t.test("Go's x509 trusts it, as the API server will", { skip: hasGo ? false : 'no Go here' }, async (t) => {
  const held = renewed(undefined, 0);
  const program = `package main

import ("crypto/x509"; "encoding/pem"; "fmt"; "os")

func main() {
	ca, _ := os.ReadFile("ca.pem")
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	text, _ := os.ReadFile("tls.pem")
	block, _ := pem.Decode(text)
	leaf, err := x509.ParseCertificate(block.Bytes)
	for _, name := range os.Args[1:] {
		if err == nil { _, err = leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}) }
	}
	fmt.Print(err)
}
`;
  const pem = Buffer.from(caBundleOf(held), 'base64').toString();
  const folder = t.testdir({ 'main.go': program, 'ca.pem': pem, 'tls.pem': held.certificate });
  const ran = spawnSync('go', ['run', 'main.go', ...NAMES], { cwd: folder, encoding: 'utf8' });
  t.equal(ran.stdout, '<nil>', ran.stderr);
  t.match(spawnSync('go', ['run', 'main.go', 'other.svc'], { cwd: folder, encoding: 'utf8' }).stdout, /not other\.svc/);
});
