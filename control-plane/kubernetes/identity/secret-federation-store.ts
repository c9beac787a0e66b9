import { type FederationStore, isSameMemory, memoryFromText, memoryToText } from '../../federation/federation-state.ts';
import type { KubernetesSecret } from './secret.ts';

/** Made by the chart, empty. */
export const FEDERATION_SECRET = 'lateral-federated-bundles';
const KEY = 'federation.json';
/** Kubernetes takes 1 MiB of a Secret. */
const MAX_SECRET_BYTES = 1_000_000;

/**
 * What is remembered of other trust domains, in a Secret that the leader writes: every replica begins with it. Written where anything
 * of it is another, and read before, since replicas may not agree for a moment.
 */
export function secretFederationStore(
  secret: Pick<KubernetesSecret, 'name' | 'read' | 'write'>,
  isLeader: () => boolean,
): FederationStore {
  return {
    async read() {
      const stored = await secret.read();
      const text = stored?.data[KEY]?.toString();
      return text === undefined ? undefined : memoryFromText(text);
    },
    async write(memory) {
      if (!isLeader()) return;
      const stored = await secret.read();
      if (stored === undefined) throw new Error(`there is no Secret ${secret.name}; the chart makes it, empty`);
      const known = memoryFromText(stored.data[KEY]?.toString() ?? '');
      if (known !== undefined && isSameMemory(known, memory)) return;
      const text = memoryToText(memory);
      if (Buffer.byteLength(text) > MAX_SECRET_BYTES) {
        throw new Error(
          `${Buffer.byteLength(text)} bytes of bundles exceed the ${MAX_SECRET_BYTES} that a Secret may hold`,
        );
      }
      const outcome = await secret.write({ [KEY]: Buffer.from(text) }, stored.resourceVersion);
      if (outcome === 'conflict')
        throw new Error(`another replica wrote Secret ${secret.name}; the next refresh tries again`);
    },
  };
}
