import t from 'tap';
import { FederatedDomain } from '#control-plane/federation/federated-domain.ts';
import { spiffeBundleText } from '#policy/trust/spiffe-bundle.ts';
import { certificatesFromPem } from '#policy/x509/pem.ts';
import { TestAuthority } from '../../support/certificates.ts';

const newRoots = () => certificatesFromPem(new TestAuthority('partner.example').rootPem);
const [old, present] = [newRoots(), newRoots()];
const withoutNumber = (text: string) => JSON.stringify({ ...JSON.parse(text), spiffe_sequence: undefined });

function domainAt6(): FederatedDomain {
  const domain = new FederatedDomain('partner.example');
  domain.configure(spiffeBundleText(old, 5, 300));
  domain.refresh(spiffeBundleText(present, 6, 300), 1);
  return domain;
}

t.test('once a number is known, other roots without one are refused, and the number stays', async (t) => {
  const domain = domainAt6();
  const rolledBack = withoutNumber(spiffeBundleText(old, 5, 300));
  const refusal = {
    message: /^it leaves out its sequence number, which was 6, and its roots are others; they are not taken$/,
  };
  t.throws(() => domain.refresh(rolledBack, 2), refusal);
  t.throws(() => domain.refresh(new TestAuthority('partner.example').rootPem, 2), refusal, 'PEM has no number either');
  t.match(domain, { sequence: 6n, roots: present, fetchedAtMs: 1 });
});

t.test('the same roots without a number are believed, and the number stays', async (t) => {
  const domain = domainAt6();
  t.equal(domain.refresh(withoutNumber(spiffeBundleText(present, 6, 300)), 2), false);
  t.match(domain, { sequence: 6n, roots: present, fetchedAtMs: 2 });
  t.throws(() => domain.refresh(spiffeBundleText(old, 5, 300), 3), /went back from 6 to 5/);
});

t.test('who never told a number need not begin to', async (t) => {
  const domain = new FederatedDomain('partner.example');
  domain.refresh(withoutNumber(spiffeBundleText(old, 1, 300)), 1);
  t.equal(domain.refresh(withoutNumber(spiffeBundleText(present, 1, 300)), 2), true);
  t.match(domain, { sequence: undefined, roots: present });
});

t.test('what the operator gives counts, with a number or without', async (t) => {
  const domain = domainAt6();
  t.equal(domain.configure(withoutNumber(spiffeBundleText(old, 1, 300))), true);
  t.match(domain, { sequence: undefined, roots: old });
});
