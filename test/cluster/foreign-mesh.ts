import { spiffeBundleText } from '#policy/trust/spiffe-bundle.ts';
import { certificatesFromPem } from '#policy/x509/pem.ts';
import { TestAuthority, type TestLeaf } from '../support/certificates.ts';
import { apply, kubectl, run } from './cluster-tools.ts';
import { manifests, rolledOut } from './workloads.ts';

/** Where what is not of the mesh runs. */
export const OUTSIDE = 'outside';
const ENDPOINT_PORT = 15_013;
const SEQUENCE = 7;
const HINT_SECONDS = 300;

/** One HTTPS request with a certificate of the caller's choice; who answered, and what. */
const TLS_CALL = `
import https from 'node:https';
const [host, port, credentials] = JSON.parse(process.argv.at(-1));
https.get({ host, port, path: '/', rejectUnauthorized: false, agent: false, ...credentials }, (response) => {
  const peer = response.socket.getPeerCertificate().subjectaltname;
  let text = '';
  response.setEncoding('utf8').on('data', (part) => { text += part; });
  response.on('end', () => console.log(JSON.stringify({ status: response.statusCode, peer, text })));
}).on('error', (error) => console.log(JSON.stringify({ status: 0, text: error.code ?? error.message })));
`;

export interface TlsOutcome {
  /** 0: the connection ended without an answer. */
  readonly status: number;
  readonly peer?: string;
  readonly text: string;
}

/** A namespace that is not of the mesh, and in it the pod `outsider`, which calls are made from. */
export async function startOutsider(): Promise<void> {
  await apply(`apiVersion: v1
kind: Namespace
metadata: {name: ${OUTSIDE}}
---
apiVersion: v1
kind: Pod
metadata: {name: outsider, namespace: ${OUTSIDE}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: outsider, image: "localhost/shop:dev", imagePullPolicy: IfNotPresent, args: [/shop/client.ts]}]
`);
  await kubectl('wait', '-n', OUTSIDE, '--for=condition=Ready', 'pod/outsider', '--timeout=60s');
}

export async function tlsCall(host: string, port: number, leaf?: TestLeaf): Promise<TlsOutcome> {
  const exec = ['exec', '-n', OUTSIDE, 'outsider', '--', '/usr/local/bin/node', '--input-type=module'];
  const { stdout, stderr } = await run('kubectl', [...exec, '-e', TLS_CALL, JSON.stringify([host, port, leaf ?? {}])]);
  if (!stdout.startsWith('{')) throw new Error(stderr);
  return JSON.parse(stdout);
}

/** A trust domain with two roots, and a server of its bundle in the cluster: the second root is known from there alone. */
export class ForeignMesh {
  readonly trustDomain: string;
  readonly #first: TestAuthority;
  readonly #second: TestAuthority;

  constructor(trustDomain: string) {
    this.trustDomain = trustDomain;
    this.#first = new TestAuthority(trustDomain);
    this.#second = new TestAuthority(trustDomain);
  }

  /** By the root that only the endpoint tells. */
  leaf(uri: string): TestLeaf {
    return this.#second.leaf(uri);
  }

  /** An entry of `federation`. */
  get entry(): object {
    return {
      trustDomain: this.trustDomain,
      bundle: { inline: this.#first.rootPem },
      endpoint: {
        url: `https://bundle.${OUTSIDE}:${ENDPOINT_PORT}/`,
        profile: 'https_spiffe',
        spiffeId: this.#serverId,
      },
    };
  }

  async serveBundle(): Promise<void> {
    const roots = [this.#first, this.#second].flatMap(({ rootPem }) => certificatesFromPem(rootPem));
    const body = spiffeBundleText(roots, SEQUENCE, HINT_SECONDS);
    const script = `
import https from 'node:https';
const credentials = ${JSON.stringify(this.#first.leaf(this.#serverId))};
https.createServer(credentials, (request, response) => response.end(${JSON.stringify(body)})).listen(${ENDPOINT_PORT}, '0.0.0.0');
process.once('SIGTERM', () => process.exit());
`;
    await apply(manifests({ namespace: OUTSIDE, name: 'bundle', script, port: ENDPOINT_PORT, portName: 'tcp' }));
    await rolledOut(OUTSIDE, 'bundle');
  }

  get #serverId(): string {
    return `spiffe://${this.trustDomain}/ns/lateral-system/sa/control-plane`;
  }
}
