// Simulated sidecars of cluster-scale.ts: one mTLS connection and one Discovery stream each; every update is ACKed and counted.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { Client, credentials } from '@grpc/grpc-js';
import { createAuthority } from '../../control-plane/authority/authority.ts';
import { openAuthorityDirectory } from '../../control-plane/authority/authority-directory.ts';
import { spiffeId } from '../../policy/identity/spiffe-id.ts';
import { CONTROL_PLANE_KINDS } from '../../policy/resource/known-kinds.ts';
import { certificatesToPem } from '../../policy/x509/pem.ts';
import { UPDATE_WINDOW_BYTES } from '../../proto/discovery-limits.ts';
import { DiscoveryService } from '../../proto/gen/lateral/v1/discovery.ts';

const [address = '', authorityDirectory = '', services = '', sidecars = '', coming = 'new'] = process.argv.slice(2);
const NAMESPACES = 50;
/** Handshakes under way at a time. */
const CONCURRENT = 50;
const HEARTBEAT_MS = 5_000;

const mesh = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const material = await openAuthorityDirectory(authorityDirectory, mesh, Date.now());
const authority = createAuthority(material, { leafLifetimeMs: 3_600_000, now: Date.now });
const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const subjectPublicKeyInfo = publicKey.export({ type: 'spki', format: 'der' });
const key = Buffer.from(privateKey.export({ type: 'pkcs8', format: 'pem' }));
const roots = Buffer.from(authority.trustBundlePem);
const FORMER_VERSION = '0'.repeat(32);
const knownResources =
  coming === 'new'
    ? []
    : Array.from({ length: Number(services) }, (_, service) => ({
        key: `MeshService/ns-${service % NAMESPACES}/s${service}`,
        version: FORMER_VERSION,
      }));
let updates = 0;
let isTold = true;

function connect(index: number): Promise<void> {
  const service = index % Number(services);
  const [namespace, serviceAccount] = [`ns-${service % NAMESPACES}`, `s${service}`];
  const name = `s${service}-${Math.floor(index / Number(services)) % 2}`;
  const { chain } = authority.issue(spiffeId(mesh.trustDomain, namespace, serviceAccount), subjectPublicKeyInfo);
  const tls = credentials.createSsl(roots, key, Buffer.from(certificatesToPem(chain)), {
    checkServerIdentity: () => undefined,
  });
  const client = new Client(address, tls, {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.ssl_target_name_override': 'control-plane',
    'grpc.max_receive_message_length': 64 * 1024 * 1024,
    'grpc-node.flow_control_window': UPDATE_WINDOW_BYTES,
  });
  const { path, requestSerialize, responseDeserialize } = DiscoveryService.subscribe;
  const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  return new Promise((resolve, reject) => {
    stream.on('data', ({ message }) => {
      if (message?.$case !== 'update') return;
      stream.write({ message: { $case: 'ack', value: { version: message.value.version } } });
      updates += 1;
      tell();
      resolve();
    });
    stream.on('error', (error) => {
      process.stderr.write(`${name}: ${error.message}\n`);
      reject(error);
    });
    stream.write({
      message: {
        $case: 'hello',
        value: {
          workload: { name, namespace, serviceAccount, labels: {}, ports: [8080] },
          knownVersion: coming === 'new' ? '' : FORMER_VERSION,
          knownResources,
          sidecarVersion: `bench-${randomBytes(2).toString('hex')}`,
          controlPlaneKinds: Object.keys(CONTROL_PLANE_KINDS),
          takesParts: false,
          heldDocuments: [],
        },
      },
    });
    setInterval(() => stream.write({ message: { $case: 'heartbeat', value: { sequence: 0 } } }), HEARTBEAT_MS);
  });
}

/** At most once a turn of the event loop. */
function tell(): void {
  if (!isTold) return;
  isTold = false;
  setImmediate(() => {
    isTold = true;
    process.send?.(updates);
  });
}

let next = 0;
await Promise.all(
  Array.from({ length: CONCURRENT }, async () => {
    while (next < Number(sidecars)) await connect(next++);
  }),
);
