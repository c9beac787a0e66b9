import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { createAuthority, LEAF_LIFETIME_MS } from '#control-plane/authority/authority.ts';
import { openAuthority } from '#control-plane/authority/authority-store.ts';
import { storedAuthorityOf } from '#control-plane/kubernetes/identity/secret-authority.ts';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import { createCertificateRequest } from '#policy/x509/certificate-request.ts';
import { certificatesToPem } from '#policy/x509/pem.ts';
import { callCode } from '#sidecar/control/control-endpoint.ts';
import { MESH } from '../control-plane/control-plane-fixture.ts';
import {
  brokenLinks,
  type Judged,
  nodeComplaints,
  opensslVerifies,
  ownVerdicts,
} from '../support/certificate-judges.ts';
import { runProgram } from '../support/go-program.ts';
import { GO_TEST_TIMEOUT_MS, goTools } from '../support/go-tools.ts';
import { startMeshProcesses } from '../support/mesh-processes.ts';
import {
  type KeyKind,
  type OpensslAuthority,
  openssl,
  opensslAuthority,
  opensslKey,
} from '../support/openssl-authorities.ts';
import { signRequest, writePeerFiles } from '../support/peer-certificates.ts';
import { skipWithout } from '../support/run-command.ts';

t.setTimeout(GO_TEST_TIMEOUT_MS);

const ORDERS = 'spiffe://cluster.local/ns/shop/sa/orders';
const skip = await skipWithout('openssl');
const go = (await goTools(t, 'spiffe'))?.spiffe;

interface Hierarchy {
  readonly root: OpensslAuthority;
  /** From the root down; the last one issues. Empty: the root does. */
  readonly below: readonly OpensslAuthority[];
}

/** Root first. */
async function hierarchy(directory: string, ...kinds: ('P-256' | 'P-384' | 'RSA')[]): Promise<Hierarchy> {
  const made: OpensslAuthority[] = [];
  for (const [index, kind] of kinds.entries()) {
    made.push(await opensslAuthority(directory, `authority${index}`, kind, kinds.length - index - 1, made.at(-1)));
  }
  const [root, ...below] = made;
  if (root === undefined) throw new Error('no authority');
  return { root, below };
}

/** The files that Istio plugs in: `cert-chain.pem` from the issuer up, with or without the root at its end. */
function istioFiles({ root, below }: Hierarchy, hasRootInChain: boolean): { readonly [name: string]: string } {
  const issuer = below.at(-1) ?? root;
  const chain = [...below].reverse().map(({ pem }) => pem);
  return {
    'root-cert.pem': root.pem,
    'ca-cert.pem': issuer.pem,
    'ca-key.pem': issuer.keyPem,
    'cert-chain.pem': [...chain, ...(hasRootInChain || chain.length === 0 ? [root.pem] : [])].join(''),
  };
}

/** Everybody who verifies certificates takes this one. */
async function judge(t: Test, directory: string, judged: Judged, key: string): Promise<void> {
  await t.resolves(opensslVerifies(judged, directory), 'openssl verify');
  t.same(await nodeComplaints(judged, key), [], "Node's TLS");
  t.same(brokenLinks(judged), [], "Node's X509Certificate");
  t.same(ownVerdicts(judged, MESH.trustDomain), [ORDERS, ORDERS], 'our own');
  const leaf = new X509Certificate(judged.chain[0] ?? Buffer.alloc(0));
  t.equal(leaf.subjectAltName, `URI:${ORDERS}`);
  t.equal(leaf.subject, undefined);
  t.equal(leaf.ca, false);
  if (go === undefined) return;
  const files = await writePeerFiles(directory, 'judged', certificatesToPem(judged.chain), key);
  const { cert: bundle } = await writePeerFiles(directory, 'judged-roots', judged.rootsPem, '');
  const { told } = await runProgram(go, ['verify', `-cert=${files.cert}`, `-key=${files.key}`, `-bundle=${bundle}`]);
  t.same(told, [{ id: ORDERS, 'go-spiffe': null, server: null, client: null }], 'Go');
}

function newKey() {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { publicKey, privateKey, pem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
}

const LAYOUTS: readonly {
  readonly title: string;
  readonly make: (directory: string) => Promise<{ readonly [name: string]: string }>;
  readonly chainLength: number;
}[] = [
  { title: 'an authority of its own making', make: async () => ({}), chainLength: 2 },
  {
    title: 'a root that issues by itself',
    make: async (directory) => istioFiles(await hierarchy(directory, 'P-256'), true),
    chainLength: 1,
  },
  {
    title: 'one intermediate',
    make: async (directory) => istioFiles(await hierarchy(directory, 'P-256', 'P-256'), false),
    chainLength: 2,
  },
  {
    title: 'two intermediates, and the root in the chain',
    make: async (directory) => istioFiles(await hierarchy(directory, 'P-384', 'P-384', 'P-256'), true),
    chainLength: 3,
  },
  {
    title: 'two intermediates under an RSA root',
    make: async (directory) => istioFiles(await hierarchy(directory, 'RSA', 'P-256', 'P-256'), false),
    chainLength: 3,
  },
  {
    title: 'an RSA issuer under an RSA root',
    make: async (directory) => istioFiles(await hierarchy(directory, 'RSA', 'RSA'), false),
    chainLength: 2,
  },
];

for (const { title, make, chainLength } of LAYOUTS) {
  t.test(`everybody takes certificates of ${title}`, { skip }, async (t) => {
    const mesh = await startMeshProcesses(t, { authorityFiles: await make(t.testdir()) });
    const { publicKey, privateKey, pem } = newKey();
    const { certificateChain, trustBundle } = await signRequest(
      mesh,
      'orders',
      createCertificateRequest(publicKey, privateKey),
    );
    t.equal(certificateChain.length, chainLength);
    t.equal(certificatesToPem(trustBundle), certificatesToPem(derOf(await readFile(mesh.trustBundle, 'utf8'))));
    await judge(t, mesh.directory, { chain: certificateChain, rootsPem: certificatesToPem(trustBundle) }, pem);
  });
}

function derOf(pem: string): Buffer[] {
  return [new X509Certificate(pem).raw];
}

t.test("everybody takes certificates of an issuer in cert-manager's layout", { skip }, async (t) => {
  const directory = t.testdir();
  const layouts: { readonly title: string; readonly made: Hierarchy }[] = [
    { title: 'issued by a CA issuer', made: await hierarchy(directory, 'P-256', 'RSA') },
    { title: 'self-signed', made: await hierarchy(directory, 'P-256') },
    { title: 'two intermediates', made: await hierarchy(directory, 'RSA', 'P-256', 'P-384') },
  ];
  for (const { title, made } of layouts) {
    const issuer = made.below.at(-1) ?? made.root;
    const chain =
      made.below.length === 0
        ? issuer.pem
        : [...made.below]
            .reverse()
            .map(({ pem }) => pem)
            .join('');
    const data = { 'tls.crt': chain, 'tls.key': issuer.keyPem, 'ca.crt': made.root.pem };
    const buffers = Object.fromEntries(Object.entries(data).map(([name, text]) => [name, Buffer.from(text)]));
    const stored = storedAuthorityOf({ data: buffers, uid: '1', resourceVersion: '1' });
    const store = { read: async () => stored, write: async () => 'written' as const, place: (file: string) => file };
    const material = await openAuthority(store, MESH, Date.now());
    const authority = createAuthority({ ...material, former: [] }, { leafLifetimeMs: LEAF_LIFETIME_MS, now: Date.now });
    const { publicKey, pem } = newKey();
    const orders = spiffeId(MESH.trustDomain, 'shop', 'orders');
    const issued = authority.issue(orders, publicKey.export({ type: 'spki', format: 'der' }));
    t.comment(title);
    await judge(t, directory, { chain: issued.chain, rootsPem: authority.trustBundlePem }, pem);
  }
});

/** A request by openssl, which asks to be an authority of another name too. */
async function opensslRequest(directory: string, kind: KeyKind, uri: string): Promise<Buffer> {
  const { key } = await writePeerFiles(directory, kind, '', await opensslKey(kind));
  const asked = [`subjectAltName=URI:${uri},DNS:orders.shop`, 'basicConstraints=critical,CA:TRUE'];
  const extensions = asked.flatMap((extension) => ['-addext', extension]);
  return pemContent(await openssl(['req', '-new', '-key', key, '-subj', '/O=shop/CN=somebody', ...extensions]));
}

async function goRequest(kind: string, uri: string): Promise<Buffer> {
  const { told } = await runProgram(go ?? '', ['csr', `-type=${kind}`, `-uri=${uri}`]);
  return pemContent(String(told[0]?.['csr']));
}

function pemContent(pem: string): Buffer {
  return Buffer.from(pem.replaceAll(/-----[^-]+-----/g, ''), 'base64');
}

t.test('requests made by openssl and by Go are signed for their key alone, or refused', { skip }, async (t) => {
  const mesh = await startMeshProcesses(t);
  const makers = [
    { maker: 'openssl', make: (kind: KeyKind, uri: string) => opensslRequest(mesh.directory, kind, uri) },
    ...(go === undefined ? [] : [{ maker: 'Go', make: goRequest }]),
  ];
  for (const { maker, make } of makers) {
    for (const kind of ['P-256', 'P-384'] as const) {
      const { certificateChain } = await signRequest(mesh, 'orders', await make(kind, ORDERS));
      const leaf = new X509Certificate(certificateChain[0] ?? Buffer.alloc(0));
      t.equal(leaf.subjectAltName, `URI:${ORDERS}`, `${maker} ${kind}: no DNS name`);
      t.equal(leaf.subject, undefined, 'no name');
      t.equal(leaf.ca, false, 'no authority');
      t.equal(leaf.publicKey.asymmetricKeyDetails?.namedCurve, kind === 'P-256' ? 'prime256v1' : 'secp384r1');
    }
    for (const kind of ['RSA', 'P-521', 'Ed25519'] as const) {
      t.equal(await refusalOf(make(kind, ORDERS)), 'csr_key_not_accepted', `${maker} ${kind}`);
    }
    const other = 'spiffe://cluster.local/ns/shop/sa/payments';
    t.equal(await refusalOf(make('P-256', other)), 'csr_identity_mismatch', `${maker}: another identity`);
  }

  async function refusalOf(request: Promise<Buffer>): Promise<string | undefined> {
    try {
      await signRequest(mesh, 'orders', await request);
      return 'signed';
    } catch (error) {
      return callCode(error).code;
    }
  }
});
