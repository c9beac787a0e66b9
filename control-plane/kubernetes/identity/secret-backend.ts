import type { AuthorityBackend, StateStore } from '../../authority/state-store.ts';
import { isUnavailable } from '../client/api-error.ts';
import type { KubernetesSecret } from './secret.ts';
import { secretAuthority } from './secret-authority.ts';

/** The Secret, of our own, that keeps what is known of an authority beside its files, and what other Secrets no longer have. */
export const AUTHORITY_STATE_SECRET = 'lateral-former-authorities';

/** An authority in a Secret of this name, and its state in another. */
export function secretBackend(name: string, secret: (name: string) => KubernetesSecret): AuthorityBackend {
  return {
    name: `secret ${name}`,
    authority: secretAuthority(secret(name)),
    state: secretState(secret(AUTHORITY_STATE_SECRET)),
    isMadeAnew: true,
    watch(onChange, signal, log) {
      for (const watched of [name, AUTHORITY_STATE_SECRET]) {
        let version = '';
        const onSecret = ({ resourceVersion }: { readonly resourceVersion: string }) => {
          if (version === resourceVersion) return;
          version = resourceVersion;
          onChange();
        };
        void secret(watched).watch(onSecret, signal, log);
      }
    },
    isAway: isUnavailable,
  };
}

export function secretState(secret: KubernetesSecret): StateStore {
  return {
    name: `Secret ${secret.namespace}/${secret.name}`,
    async read() {
      const stored = await secret.read();
      if (stored === undefined) return undefined;
      const { data, resourceVersion, uid } = stored;
      const texts = Object.fromEntries(Object.entries(data).map(([key, value]) => [key, value.toString('utf8')]));
      return { texts, version: resourceVersion, uid };
    },
    write: (texts, version) =>
      secret.write(Object.fromEntries(Object.entries(texts).map(([key, text]) => [key, Buffer.from(text)])), version),
  };
}
